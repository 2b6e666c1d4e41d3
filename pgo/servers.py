"""The servers: `python -m ferrio run -m pgo.servers NAME` prints its port and serves until its standard input ends.

A process of its own for each, so that it meets its clients as servers do: one busy connection is one event and a
wait, a crowd of them many events of one poll.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

HOST = "127.0.0.1"
BACKLOG = 1024
LIMIT = 256 * 1024
HEAD = struct.Struct("!I")


connected: set[asyncio.WriteTransport] = set()
"""Connections that are ended with the server."""


class Connection(asyncio.BaseProtocol):
    """What the protocols have in common."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        connected.add(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        connected.discard(self.transport)


class Echo(Connection, asyncio.Protocol):
    """Answers whatever comes."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class BufferedEcho(Connection, asyncio.BufferedProtocol):
    """Answers out of a buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(64 * 1024)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(memoryview(self.buffer)[:nbytes].tobytes())


class Requests(Connection, asyncio.Protocol):
    """Gathers requests that end in an empty line, as HTTP's do, and answers in parts."""

    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        transport.get_extra_info("peername"), transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        self.received += data
        *requests, self.received = self.received.split(b"\r\n\r\n")
        for request in requests:
            if len(request) % 2:
                self.transport.writelines([b"200 OK\r\n", b"length: 5\r\n\r\n", b"hello"])
            else:
                self.transport.write(b"200 OK\r\nlength: 5\r\n\r\n")
                self.transport.write(b"hello")

    def eof_received(self) -> None:
        self.transport.close()


class Source(Connection, asyncio.Protocol):
    """Sends as much as is taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.paused = False
        self.pour()

    def pour(self) -> None:
        while not self.paused and not self.transport.is_closing():
            self.transport.write(CHUNK)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pour()


class Sink(Connection, asyncio.Protocol):
    """Takes what comes."""

    def data_received(self, data: bytes) -> None:
        pass


CHUNK = b"x" * 65536


async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers whatever comes, by streams."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers line by line."""
    async for line in reader:
        writer.write(line)
        await writer.drain()


async def readline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The same, asking for each line."""
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()


async def frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A length, then as many bytes."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            head = await reader.readexactly(HEAD.size)
            body = await reader.readexactly(*HEAD.unpack(head))
            writer.writelines([head, body])
            await writer.drain()


async def requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Heads that end in an empty line, as HTTP's do."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"200 OK\r\nlength: 5\r\n\r\n")
            writer.write(b"hello")
            await writer.drain()


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes what comes."""
    while await reader.read(65536):
        pass


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends as much as is taken."""
    while True:
        writer.write(CHUNK)
        await writer.drain()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _closing(handler: Handler) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add(writer.transport)
        try:
            await handler(reader, writer)
        except ConnectionError:
            return  # the client has what it wanted
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            connected.discard(writer.transport)

    return handle


Serving = tuple[Callable[[], object], int]
"""What ends a server, and its port."""


async def sockets() -> Serving:
    """An echo server of the loop's socket methods."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server((HOST, 0), backlog=BACKLOG)
    listener.setblocking(False)
    running = set()

    async def echo(sock: socket.socket) -> None:
        with sock, suppress(ConnectionError):
            while data := await loop.sock_recv(sock, 65536):
                await loop.sock_sendall(sock, data)

    async def accept() -> None:
        with listener:
            while True:
                sock, _ = await loop.sock_accept(listener)
                running.add(asyncio.create_task(echo(sock)))

    accepting = asyncio.create_task(accept())
    return accepting.cancel, listener.getsockname()[1]


class DatagramEcho(asyncio.DatagramProtocol):
    """Answers each datagram."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


async def datagrams() -> Serving:
    """An echo server of datagrams."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(DatagramEcho, local_addr=(HOST, 0))
    return transport.close, transport.get_extra_info("sockname")[1]


def by_protocol(protocol: Callable[[], asyncio.BaseProtocol]) -> Callable[[], Awaitable[Serving]]:
    """A server whose connections have such a protocol each."""

    async def serve() -> Serving:
        server = await asyncio.get_running_loop().create_server(protocol, HOST, 0, backlog=BACKLOG)
        return server.close, server.sockets[0].getsockname()[1]

    return serve


def by_streams(handler: Handler) -> Callable[[], Awaitable[Serving]]:
    """A server whose connections have a task each."""

    async def serve() -> Serving:
        server = await asyncio.start_server(_closing(handler), HOST, 0, backlog=BACKLOG, limit=LIMIT)
        return server.close, server.sockets[0].getsockname()[1]

    return serve


SERVERS: dict[str, Callable[[], Awaitable[Serving]]] = {
    "Echo": by_protocol(Echo),
    "BufferedEcho": by_protocol(BufferedEcho),
    "Requests": by_protocol(Requests),
    "Source": by_protocol(Source),
    "Sink": by_protocol(Sink),
    "read": by_streams(read),
    "lines": by_streams(lines),
    "readline": by_streams(readline),
    "frames": by_streams(frames),
    "requests": by_streams(requests),
    "drop": by_streams(drop),
    "pour": by_streams(pour),
    "sockets": sockets,
    "datagrams": datagrams,
}


async def main(name: str) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait_for_end() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    close, port = await SERVERS[name]()
    threading.Thread(target=wait_for_end, daemon=True).start()
    print(port, flush=True)
    await ended.wait()
    close()
    for transport in connected:
        transport.abort()
    # In the next turn they are told that they have ended.
    await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
