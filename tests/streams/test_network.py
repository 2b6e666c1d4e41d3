"""Streams over sockets: open, serve, flow control, ends, and what is left behind."""

import gc
import socket
import struct
import warnings
import weakref

import pytest


def run(asyncio, main):
    with asyncio.Runner() as runner:
        return runner.run(main)


async def connected(asyncio, handler, **kwargs):
    server = await asyncio.start_server(handler, "127.0.0.1", 0, **kwargs)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), **kwargs)
    return server, reader, writer


async def closed(server, *writers):
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()


def test_echo(asyncio):
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    async def main():
        server, reader, writer = await connected(asyncio, echo)
        writer.write(b"one\ntwo\n")
        writer.writelines([b"th", b"ree\n"])
        assert [await reader.readline() for _ in range(3)] == [b"one\n", b"two\n", b"three\n"]
        writer.write(b"end")
        writer.write_eof()
        assert await reader.read() == b"end"
        assert reader.at_eof()
        await closed(server, writer)

    run(asyncio, main())


def test_a_plain_function_as_the_callback(asyncio):
    async def main():
        got = asyncio.get_running_loop().create_future()
        server, _, writer = await connected(asyncio, lambda *streams: got.set_result(streams))
        server_reader, server_writer = await got
        writer.write(b"data")
        assert await server_reader.read(10) == b"data"
        await closed(server, writer, server_writer)

    run(asyncio, main())


def test_unix(asyncio, tmp_path):
    async def shout(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async def main():
        path = str(tmp_path / "socket")
        server = await asyncio.start_unix_server(shout, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        await closed(server, writer)

    run(asyncio, main())


def test_more_than_the_buffers_hold(asyncio):
    """Both directions at once, with limits so small that both sides are paused and resumed many times."""
    block = bytes(range(256)) * 4096

    async def echo(reader, writer):
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main():
        server, reader, writer = await connected(asyncio, echo, limit=1000)

        async def send():
            for _ in range(5):
                writer.write(block)
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        received = await reader.read()
        await sending
        assert received == block * 5
        await closed(server, writer)

    run(asyncio, main())


def test_a_slow_reader_pauses_the_transport(asyncio):
    async def flood(reader, writer):
        writer.write(b"x" * 1_000_000)
        await writer.drain()
        writer.close()

    async def main():
        server, reader, writer = await connected(asyncio, flood, limit=1024)
        while not reader._paused:
            await asyncio.sleep(0)
        held = len(reader._buffer)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(reader._buffer) == held
        assert not writer.transport.is_reading()
        assert len(await reader.readexactly(1_000_000)) == 1_000_000
        await closed(server, writer)

    run(asyncio, main())


def test_a_reset_connection_fails_the_read(asyncio):
    async def reset(reader, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def main():
        server, reader, writer = await connected(asyncio, reset)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        with pytest.raises(ConnectionResetError):
            await writer.drain()
        with pytest.raises(ConnectionResetError):
            await closed(server, writer)
        server.close()

    run(asyncio, main())


def test_a_write_after_the_close(asyncio):
    async def main():
        server, _, writer = await connected(asyncio, lambda r, w: w.close())
        writer.close()
        assert writer.is_closing()
        writer.write(b"nobody gets this")
        with pytest.raises(ConnectionResetError, match="Connection lost"):
            await writer.drain()
        await closed(server, writer)

    run(asyncio, main())


def test_a_cancelled_read_loses_nothing(asyncio):
    async def main():
        got = asyncio.get_running_loop().create_future()
        server, reader, writer = await connected(asyncio, lambda *streams: got.set_result(streams))
        _, server_writer = await got
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(10), 0.01)
        server_writer.write(b"01234")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(10), 0.01)
        server_writer.write(b"56789")
        assert await asyncio.wait_for(reader.readexactly(10), 10) == b"0123456789"
        await closed(server, writer, server_writer)

    run(asyncio, main())


def test_a_replaced_method_is_called_by_a_transport(asyncio):
    """Set on the instance after the connection was made."""

    async def main():
        got = asyncio.get_running_loop().create_future()
        server, reader, writer = await connected(asyncio, lambda *streams: got.set_result(streams))
        _, server_writer = await got
        fed = []
        writer._protocol.data_received = lambda data: (fed.append(data), reader.feed_data(data.upper()))
        server_writer.write(b"data\n")
        assert await reader.readline() == b"DATA\n"
        assert fed == [b"data\n"]
        await closed(server, writer, server_writer)

    run(asyncio, main())


def test_a_replaced_write_is_called_by_a_writer(asyncio):
    async def main():
        server, _, writer = await connected(asyncio, lambda r, w: w.close())
        written = []
        writer.transport.write = written.append
        writer.write(b"data")
        assert written == [b"data"]
        await closed(server, writer)

    run(asyncio, main())


def test_a_limit_of_zero_is_refused_when_awaited(asyncio):
    async def main():
        for coro in (
            asyncio.open_connection("127.0.0.1", 1, limit=0),
            asyncio.open_unix_connection("/nonesuch", limit=0),
        ):
            with pytest.raises(ValueError, match="Limit cannot be <= 0"):
                await coro

    run(asyncio, main())


def test_wrong_arguments(asyncio):
    for call in (
        lambda: asyncio.open_connection("host", 1, 2),
        lambda: asyncio.start_server(),
        lambda: asyncio.open_unix_connection("path", 1),
        lambda: asyncio.start_unix_server(),
    ):
        with pytest.raises(TypeError):
            call()


def test_connections_are_collected(asyncio):
    """Reader, writer, protocol and transport of finished connections, on both sides."""
    refs = []

    async def echo(reader, writer):
        refs.extend(map(weakref.ref, (reader, writer, writer._protocol, writer.transport)))
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            refs.extend(map(weakref.ref, (reader, writer, writer._protocol, writer.transport)))
            writer.write(b"x\n")
            assert await reader.readline() == b"x\n"
            await reader.read()
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(asyncio, main())
    gc.collect()
    assert len(refs) == 160
    assert [ref() for ref in refs if ref() is not None] == []


def test_an_unclosed_connection_is_reported(asyncio):
    async def main():
        server, reader, writer = await connected(asyncio, lambda r, w: w.close())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del reader, writer
            gc.collect()
        assert [str(w.message).partition(" transport=")[0] for w in caught] == ["unclosed <StreamWriter"]
        await closed(server)

    run(asyncio, main())


def test_a_replaced_reference_to_the_reader_is_called_for_data_only(asyncio):
    # Many connections at a time: what is looked at ahead of their events calls nothing.
    count = 40

    async def main():
        calls, made, handled = [], [], asyncio.Event()

        class Protocol(asyncio.StreamReaderProtocol):
            def __init__(self):
                self.received = asyncio.StreamReader()
                super().__init__(self.received)

            def connection_made(self, transport):
                super().connection_made(transport)
                self._stream_reader_wr = self.reference
                made.append(self)
                if len(made) == count:
                    handled.set()

            def reference(self):
                calls.append(self)
                return self.received

        loop = asyncio.get_running_loop()
        server = await loop.create_server(Protocol, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        peers = [socket.create_connection(address) for _ in range(count)]
        await handled.wait()
        calls.clear()
        for peer in peers:
            peer.sendall(b"data")
        assert [await protocol.received.readexactly(4) for protocol in made] == [b"data"] * count
        assert sorted(map(id, calls)) == sorted(map(id, made))
        for protocol in made:
            protocol._transport.close()
        for peer in peers:
            peer.close()
        server.close()
        await server.wait_closed()

    run(asyncio, main())
