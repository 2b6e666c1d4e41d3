"""The leak tests' shapes that make real connections; they run at a fiftieth of the count of the others."""

import asyncio
import contextlib
import socket

from shapes import Holder, batches, turns

CONNECTIONS = {}


def connection(function):
    CONNECTIONS[function.__name__] = function
    return function


@connection
async def stream_connections(count):
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    async def client():
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"hello\n")
        assert await reader.read() == b"hello\n"
        writer.close()
        await writer.wait_closed()

    for size in batches(count, 50):
        await asyncio.gather(*(client() for _ in range(size)))
    server.close()
    await server.wait_closed()
    await turns()


@connection
async def unix_connections_aborted(count):
    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

    loop = asyncio.get_running_loop()
    for size in batches(count, 50):
        for _ in range(size):
            a, b = socket.socketpair()
            transport, _ = await loop.create_connection(Protocol, sock=a)
            transport.write(b"x" * 100)
            transport.abort()
            b.close()
        await turns()


@connection
async def connections_refused(count):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = sock.getsockname()
        for _ in range(count):
            with contextlib.suppress(ConnectionRefusedError):
                await asyncio.open_connection(*address)


@connection
async def stream_errors(count):
    for size in batches(count, 50):
        for _ in range(size):
            a, b = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=a)
            b.send(b"partial")
            b.close()
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readexactly(100)
            writer.close()
            await writer.wait_closed()


@connection
async def readers_and_writers(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        a, b = socket.socketpair()
        holder = Holder()
        holder.held = a
        loop.add_reader(a, holder.callback, holder)
        loop.add_writer(a, holder.callback, holder)
        loop.remove_reader(a)
        loop.remove_writer(a)
        a.close()
        b.close()


@connection
async def sock_calls(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        a, b = socket.socketpair()
        a.setblocking(False)
        b.setblocking(False)
        waiting = asyncio.create_task(loop.sock_recv(a, 10))
        await asyncio.sleep(0)
        await loop.sock_sendall(b, b"x")
        await waiting
        a.close()
        b.close()


@connection
async def executor_calls(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await loop.run_in_executor(None, int, "1")
