"""Both ends of a connection in one process, over a socket pair: for counting instructions (`instructions.py`).

No load generator is under valgrind, so what a server spends on a message is taken together with what its client
does, which is the same work. `scenarios_net.py` has what is measured in time.
"""

from __future__ import annotations

import asyncio
import socket

from bench.scenario import in_process

SMALL = b"x" * 64


@in_process("message there and back")
async def streams_echo_64(n: int) -> None:
    """Streams: 64 bytes are written, read, written back and read."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    echo_reader, echo_writer = await asyncio.open_connection(sock=theirs)

    async def echo() -> None:
        while data := await echo_reader.read(1024):
            echo_writer.write(data)
            await echo_writer.drain()
        echo_writer.close()

    task = asyncio.create_task(echo())
    for _ in range(n):
        writer.write(SMALL)
        await writer.drain()
        await reader.readexactly(len(SMALL))
    writer.close()
    await task


@in_process("line there and back")
async def streams_lines(n: int) -> None:
    """Streams: a line is written, read by `readline`, written back and read."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    echo_reader, echo_writer = await asyncio.open_connection(sock=theirs)

    async def echo() -> None:
        while line := await echo_reader.readline():
            echo_writer.write(line)
        echo_writer.close()

    task = asyncio.create_task(echo())
    for _ in range(n):
        writer.write(b"a line that is not long\n")
        await reader.readline()
    writer.close()
    await task


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Player(Echo):
    """Sends back what it receives, so many times, and then says so."""

    def __init__(self, n: int, done: asyncio.Future[None]) -> None:
        self._left = n
        self._done = done

    def data_received(self, data: bytes) -> None:
        self._left -= 1
        if self._left:
            self.transport.write(data)
        elif not self._done.done():
            self._done.set_result(None)


@in_process("message there and back")
async def protocol_echo_64(n: int) -> None:
    """Protocols: 64 bytes are sent and sent back."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    ours, theirs = socket.socketpair()
    echo, _ = await loop.create_connection(Echo, sock=theirs)
    player, _ = await loop.create_connection(lambda: Player(n, done), sock=ours)
    player.write(SMALL)
    await done
    player.close()
    echo.close()


@in_process("message there and back")
async def sock_echo_64(n: int) -> None:
    """`sock_sendall` and `sock_recv` on both ends, 64 bytes."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)

    async def echo() -> None:
        while data := await loop.sock_recv(theirs, 1024):
            await loop.sock_sendall(theirs, data)

    task = asyncio.create_task(echo())
    for _ in range(n):
        await loop.sock_sendall(ours, SMALL)
        await loop.sock_recv(ours, 1024)
    ours.close()
    await task
    theirs.close()
