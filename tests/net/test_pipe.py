"""Pipe transports: data, ends, back-pressure, errors, terminals, and what is left behind."""

import gc
import os
import pty
import socket
import tempfile
import tty
import warnings
import weakref

import pytest


@pytest.fixture
def protocol(asyncio):
    class Log(asyncio.Protocol):
        def __init__(self):
            self.data = b""
            self.calls = []
            self.closed = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.data += data

        def eof_received(self):
            self.calls.append("eof")

        def pause_writing(self):
            self.calls.append("pause")

        def resume_writing(self):
            self.calls.append("resume")

        def connection_lost(self, exc):
            self.closed.set_result(exc)

    return Log


def ends():
    r, w = os.pipe()
    return open(r, "rb", 0), open(w, "wb", 0)


async def reading(asyncio, factory, pipe):
    return (await asyncio.get_running_loop().connect_read_pipe(factory, pipe))[1]


async def writing(asyncio, factory, pipe):
    return (await asyncio.get_running_loop().connect_write_pipe(factory, pipe))[1]


def test_one_end_to_the_other(asyncio, clean_run, protocol):
    async def main():
        r, w = ends()
        there, here = await reading(asyncio, protocol, r), await writing(asyncio, protocol, w)
        data = os.urandom(1_000_000)
        here.transport.write(data[:10])
        here.transport.writelines([data[10:20], bytearray(data[20:30]), memoryview(data)[30:]])
        here.transport.write_eof()
        here.transport.write(b"too late")
        assert (await here.closed, await there.closed) == (None, None)
        assert there.data == data
        assert there.calls == ["eof"]
        assert r.closed
        assert w.closed
        assert there.transport.get_extra_info("pipe") is r
        assert here.transport.get_extra_info("pipe") is w

    clean_run(main())


def test_into_a_stream_reader(asyncio, clean_run, protocol):
    async def main():
        r, w = ends()
        reader = asyncio.StreamReader()
        await reading(asyncio, lambda: asyncio.StreamReaderProtocol(reader), r)
        here = await writing(asyncio, protocol, w)
        here.transport.write(b"one\ntwo\nrest")
        assert await reader.readline() == b"one\n"
        assert await reader.readline() == b"two\n"
        here.transport.close()
        assert await reader.read() == b"rest"
        assert await here.closed is None

    clean_run(main())


def test_back_pressure(asyncio, clean_run, protocol):
    async def main():
        r, w = ends()
        here = await writing(asyncio, protocol, w)
        transport = here.transport
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        sent = 0
        while not here.calls:
            transport.write(b"x" * 500)
            sent += 500
        assert transport.get_write_buffer_size() > 1000
        assert "polling bufsize=" in repr(transport)
        there = await reading(asyncio, protocol, r)
        transport.close()
        assert await here.closed is None
        assert await there.closed is None
        assert here.calls == ["pause", "resume"]
        assert len(there.data) == sent

    clean_run(main())


def test_pausing(asyncio, clean_run, protocol):
    async def main():
        r, w = ends()
        there = await reading(asyncio, protocol, r)
        there.transport.pause_reading()
        assert not there.transport.is_reading()
        assert "idle" in repr(there.transport)
        w.write(b"waits")
        for _ in range(200):
            await asyncio.sleep(0)
        assert there.data == b""
        there.transport.resume_reading()
        assert there.transport.is_reading()
        w.close()
        assert await there.closed is None
        assert there.data == b"waits"

    clean_run(main())


def test_the_reading_end_is_closed(asyncio, clean_run, protocol):
    async def main(unsent):
        r, w = ends()
        here = await writing(asyncio, protocol, w)
        if unsent:
            here.transport.write(b"x" * 1_000_000)
        r.close()
        exc = await here.closed
        assert isinstance(exc, BrokenPipeError) if unsent else exc is None
        for _ in range(3):
            here.transport.write(b"ignored")
        assert here.transport._conn_lost >= 3

    clean_run(main(False))
    clean_run(main(True))


def test_abort_drops_what_is_buffered(asyncio, clean_run, protocol):
    async def main():
        r, w = ends()
        here = await writing(asyncio, protocol, w)
        here.transport.write(b"x" * 1_000_000)
        here.transport.close()
        assert not here.closed.done()
        here.transport.abort()
        here.transport.abort()
        assert here.transport.get_write_buffer_size() == 0
        assert await here.closed is None
        assert len(r.read()) < 1_000_000
        r.close()

    clean_run(main())


def test_one_terminal_read_and_written(asyncio, clean_run, protocol):
    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        with open(slave, "r+b", 0) as other:
            there = await reading(asyncio, protocol, open(master, "rb", 0))  # noqa: SIM115 - the transport's
            here = await writing(asyncio, protocol, open(os.dup(master), "wb", 0))  # noqa: SIM115 - the transport's
            other.write(b"from the terminal")
            here.transport.write(b"to the terminal")
            assert other.read(100) == b"to the terminal"
            here.transport.close()
            assert await here.closed is None
        # The other side is gone: EIO, which is everyday, and not reported.
        exc = await there.closed
        assert exc is None or exc.errno == 5
        assert there.data == b"from the terminal"

    clean_run(main())


def test_the_same_descriptor_for_both_directions(asyncio, clean_run, protocol):
    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        file = open(master, "r+b", 0)  # noqa: SIM115 - the transport's
        there, here = await reading(asyncio, protocol, file), await writing(asyncio, protocol, file)
        here.transport.write(b"x" * 100_000)
        assert here.transport.get_write_buffer_size() > 0
        os.write(slave, b"still read")
        while not there.data:
            await asyncio.sleep(0)
        assert there.data == b"still read"
        here.transport.abort()
        assert await here.closed is None
        there.transport.close()
        assert await there.closed is None
        os.close(slave)

    clean_run(main())


def test_sockets(asyncio, clean_run, protocol):
    async def main():
        one, other = socket.socketpair()
        there, here = await reading(asyncio, protocol, one), await writing(asyncio, protocol, other)
        here.transport.write(b"data")
        here.transport.write_eof()
        assert (await here.closed, await there.closed) == (None, None)
        assert there.data == b"data"

    clean_run(main())


def test_what_is_no_pipe(asyncio, clean_run, protocol):
    async def main():
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryFile() as file:
            with pytest.raises(ValueError, match="Pipe transport is for pipes/sockets only"):
                await loop.connect_read_pipe(protocol, file)
            with pytest.raises(
                ValueError, match="Pipe transport is only for pipes, sockets and character devices"
            ):
                await loop.connect_write_pipe(protocol, file)
            assert not file.closed
        r, w = ends()
        here = await writing(asyncio, protocol, w)
        for wrong in ("text", 5, None):
            with pytest.raises((TypeError, AssertionError)):
                here.transport.write(wrong)
        here.transport.close()
        await here.closed
        r.close()

    clean_run(main())


def test_a_failing_protocol_is_reported_and_goes_on(asyncio, clean_run, protocol):
    class Fails(protocol):
        def data_received(self, data):
            super().data_received(data)
            raise ValueError(data)

        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise KeyError

    async def main():
        r, w = ends()
        there = await reading(asyncio, Fails, r)
        w.write(b"x")
        while not clean_run.reported:
            await asyncio.sleep(0)
        assert not there.transport.is_closing()
        w.close()
        await there.closed
        await asyncio.sleep(0)
        assert r.closed
        first, second = clean_run.reported
        assert isinstance(first["exception"], ValueError)
        assert first["message"].endswith("_UnixReadPipeTransport._read_ready()")
        assert isinstance(second["exception"], KeyError)
        clean_run.reported.clear()

    clean_run(main())


def test_an_unclosed_transport_is_closed_with_a_warning(asyncio, protocol):
    loop = asyncio.new_event_loop()
    r, w = ends()
    there = loop.run_until_complete(reading(asyncio, protocol, r))
    here = loop.run_until_complete(writing(asyncio, protocol, w))
    gone = [weakref.ref(there), weakref.ref(here)]
    loop.close()
    assert "open" in repr(there.transport)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del there, here
        gc.collect()
        warned = sorted(str(w.message).split(" fd=")[0] for w in caught)
        # What is recorded holds the transports, and since 3.15 the collector leaves what they refer to alive then.
        caught.clear()
        gc.collect()
    assert [ref() for ref in gone] == [None, None]
    assert warned == [
        "unclosed transport <_UnixReadPipeTransport",
        "unclosed transport <_UnixWritePipeTransport",
    ]
    assert r.closed
    assert w.closed


def test_cancelling_the_connecting_closes_the_pipe(asyncio, clean_run, protocol):
    async def main():
        r, w = ends()
        connecting = asyncio.ensure_future(asyncio.get_running_loop().connect_read_pipe(protocol, r))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.sleep(0)
        assert r.closed
        w.close()

    clean_run(main())
