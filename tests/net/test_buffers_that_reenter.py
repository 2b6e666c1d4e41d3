"""A buffer whose release runs code of the program's, which comes back into what has just used the buffer.

`__release_buffer__` is called whenever a view of the buffer is let go of: after a copy was made, after a system call,
after the last byte was sent. When and how often is the implementation's affair; every byte has to arrive once.
"""

import os
import socket
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="classes cannot define __release_buffer__ before 3.12"
)


@pytest.fixture
def reentering():
    """A bytearray class; `reentering.released` is called with each view that is let go of."""

    class Reentering(bytearray):
        busy = False

        def __buffer__(self, flags):
            return super().__buffer__(flags)

        def __release_buffer__(self, view):
            view.release()
            if not Reentering.busy:
                Reentering.busy = True
                try:
                    Reentering.released()
                except BaseException as exc:
                    Reentering.raised.append(exc)
                finally:
                    Reentering.busy = False

        released = staticmethod(lambda: None)

    Reentering.raised = []
    yield Reentering
    assert Reentering.raised == []


async def everything(loop, peer):
    data = bytearray()
    while chunk := await loop.sock_recv(peer, 1 << 20):
        data += chunk
    return bytes(data)


def without_inner(data, outer):
    """What is left of *data* when the outer bytes, which are in order, are taken out."""
    assert data.replace(b"i", b"") == outer
    return data.count(b"i")


WRITES = {
    "small": lambda transport, kind: transport.write(kind(b"xx")),
    "more than the kernel takes": lambda transport, kind: transport.write(kind(b"x" * 10_000_000)),
    "lines": lambda transport, kind: transport.writelines([kind(b"xx"), b"yy", kind(b"zz")]),
    "behind what the kernel refused": lambda transport, kind: (
        transport.write(b"y" * 10_000_000),
        transport.write(kind(b"xx")),
    ),
}
WRITTEN = {
    "small": b"xx",
    "more than the kernel takes": b"x" * 10_000_000,
    "lines": b"xxyyzz",
    "behind what the kernel refused": b"y" * 10_000_000 + b"xx",
}


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("what", WRITES)
def test_writing_to_a_socket_from_the_release(clean_run, loop, pair, reentering, what, used):
    inner = []

    async def main():
        protocol, peer = await pair()
        transport = protocol.transport
        transport.set_write_buffer_limits(high=10**9)
        if used:
            await write_twice_often(loop, transport, peer)

        def released():
            if len(inner) < 20:
                assert transport.get_write_buffer_size() >= 0
                assert "bufsize" in repr(transport)
                transport.write(b"i")
                inner.append(None)

        reentering.released = released
        WRITES[what](transport, reentering)
        transport.close()
        assert without_inner(await everything(loop, peer), WRITTEN[what]) == len(inner)
        await protocol.lost

    clean_run(main())
    assert inner


async def write_twice_often(loop, transport, peer):
    """Rounds of two writes: a connection that has them each time may have the first held back."""
    for _ in range(32):
        done = loop.create_future()
        loop.call_soon(lambda: (transport.write(b"ab"), transport.write(b"cd")))
        loop.call_soon(done.set_result, None)
        await done
        assert peer.recv(100) == b"abcd"


@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
@pytest.mark.parametrize("what", WRITES)
def test_ending_a_connection_from_the_release(run, loop, pair, reentering, what, end):
    """asyncio itself stumbles over some of these (it sends after its end), and says so to the exception handler."""

    async def main():
        protocol, peer = await pair()
        transport = protocol.transport
        transport.set_write_buffer_limits(high=10**9)
        reentering.released = lambda: getattr(transport, end)()
        try:
            WRITES[what](transport, reentering)
        except RuntimeError as exc:
            # writelines() after the end.
            assert "after write_eof()" in str(exc)
        transport.close()
        data = await everything(loop, peer)
        assert WRITTEN[what].startswith(data)
        await protocol.lost
        assert len([call for call in protocol.calls if call[0] == "lost"]) == 1

    run(main())


def test_writing_to_a_pipe_from_the_release(clean_run, asyncio, loop, reentering):
    async def main():
        reader, writer = os.pipe()
        inner = []
        with open(reader, "rb", 0) as reading:
            os.set_blocking(reader, False)
            transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(writer, "wb", 0))
            transport.set_write_buffer_limits(high=10**9)

            def released():
                if len(inner) < 20:
                    transport.write(b"i")
                    inner.append(None)

            reentering.released = released
            transport.write(reentering(b"x" * 1_000_000))
            transport.close()
            data = bytearray()
            readable = asyncio.Event()
            loop.add_reader(reading, readable.set)
            while True:
                await asyncio.wait_for(readable.wait(), 20)
                readable.clear()
                if (chunk := reading.read(1 << 16)) == b"":
                    break
                data += chunk or b""
            loop.remove_reader(reading)
        assert without_inner(bytes(data), b"x" * 1_000_000) == len(inner) > 0

    clean_run(main())


def test_sending_datagrams_from_the_release(clean_run, asyncio, loop, reentering):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.setblocking(False)
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=peer.getsockname()
            )
            inner = []

            def released():
                if len(inner) < 20:
                    transport.sendto(b"i")
                    inner.append(None)

            reentering.released = released
            for _ in range(3):
                transport.sendto(reentering(b"x"))
            transport.close()
            await asyncio.sleep(0)
            got = [peer.recv(10) for _ in range(3 + len(inner))]
            assert sorted(got) == [b"i"] * len(inner) + [b"x"] * 3

    clean_run(main())


def test_reading_into_a_buffer_whose_release_reenters(clean_run, asyncio, loop, recorder, pair, reentering):
    class Buffered(asyncio.BufferedProtocol, recorder):
        def get_buffer(self, sizehint):
            self.buffer = reentering(100)
            return self.buffer

        def buffer_updated(self, nbytes):
            self.data += self.buffer[:nbytes]
            self.changed.set()

    async def main():
        protocol, peer = await pair(Buffered)

        def released():
            protocol.transport.pause_reading()
            protocol.transport.resume_reading()
            protocol.transport.write(b"i")

        reentering.released = released
        for number in range(5):
            peer.send(b"%d" % number)
            await protocol.until(lambda protocol: len(protocol.data) == number + 1)  # noqa: B023
        assert protocol.data == b"01234"
        assert set(peer.recv(1000)) == set(b"i")
        protocol.transport.close()
        await protocol.lost

    clean_run(main())


def test_feeding_a_reader_from_the_release(clean_run, asyncio, reentering):
    async def main():
        reader = asyncio.StreamReader()
        reentering.released = lambda: reader.feed_data(b"i") if len(reader._buffer) < 10 else None
        reader.feed_data(reentering(b"xx"))
        reader.feed_eof()
        assert without_inner(await reader.read(), b"xx") >= 0

    clean_run(main())
