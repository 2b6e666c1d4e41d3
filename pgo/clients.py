"""The clients of `servers.py`: one that asks and waits, and crowds of them; bulk in both directions; connections that
end as soon as they are answered."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any, cast

HOST = "127.0.0.1"
CROWDS = ((1, 3_000), (20, 300), (200, 30))
"""How many connections, and how many questions each."""
BULK_BYTES = 64 * 1024 * 1024
LIMIT = 256 * 1024
HEAD = struct.Struct("!I")
SIZES = (64, 1024, 10_000, 65536)

Client = Callable[[int], Coroutine[Any, Any, None]]


class Asking(asyncio.Protocol):
    """Asks again when the whole answer is there."""

    def __init__(self, question: bytes, times: int, answer_bytes: int) -> None:
        self.question = question
        self.left = times
        self.answer_bytes = answer_bytes
        self.missing = answer_bytes
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.question)

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if self.missing:
            return
        self.missing = self.answer_bytes
        self.left -= 1
        if self.left:
            self.transport.write(self.question)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(exc)


def ask(question: bytes, answer_bytes: int = 0) -> Client:
    """Ask by a protocol; the answer is the question where no length of it is named."""

    async def one(port: int, times: int) -> None:
        _, protocol = await asyncio.get_running_loop().create_connection(
            lambda: Asking(question, times, answer_bytes or len(question)), HOST, port
        )
        await protocol.ended

    return crowd(one)


def ask_by_streams(question: bytes, answer_bytes: int = 0) -> Client:
    """The same by streams."""

    async def one(port: int, times: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port, limit=LIMIT)
        for _ in range(times):
            writer.write(question)
            await writer.drain()
            await reader.readexactly(answer_bytes or len(question))
        writer.close()
        await writer.wait_closed()

    return crowd(one)


def ask_by_sockets(question: bytes) -> Client:
    """The same by the loop's socket methods."""

    async def one(port: int, times: int) -> None:
        loop = asyncio.get_running_loop()
        answer = bytearray(len(question))
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (HOST, port))
            for _ in range(times):
                await loop.sock_sendall(sock, question)
                missing = len(question)
                while missing:
                    missing -= await loop.sock_recv_into(sock, memoryview(answer)[:missing])

    return crowd(one)


def crowd(one: Callable[[int, int], Coroutine[Any, Any, None]]) -> Client:
    """One client, and crowds of them."""

    async def crowds(port: int) -> None:
        for size, times in CROWDS:
            await asyncio.gather(*(one(port, times) for _ in range(size)))

    return crowds


class Questioner(asyncio.DatagramProtocol):
    """Asks by datagrams."""

    def __init__(self, question: bytes, times: int) -> None:
        self.question = question
        self.left = times
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.transport.sendto(self.question)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.left -= 1
        if self.left:
            self.transport.sendto(self.question)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


async def ask_by_datagrams(port: int) -> None:
    """Questions and answers by datagrams: at most so many at once as fit a socket's buffer, since none is repeated."""
    loop = asyncio.get_running_loop()

    async def one(question: bytes, times: int) -> None:
        _, protocol = await loop.create_datagram_endpoint(
            lambda: Questioner(question, times), remote_addr=(HOST, port)
        )
        await protocol.ended

    for size in (64, 1024):
        for clients, times in ((1, 3_000), (20, 300)):
            await asyncio.gather(*(one(bytes(size), times) for _ in range(clients)))


async def send(port: int) -> None:
    """Send in bulk: one connection, and a crowd."""

    async def one(total: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        chunk = bytes(65536)
        for _ in range(total // len(chunk)):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
        assert not await reader.read()
        writer.close()
        await writer.wait_closed()

    await one(BULK_BYTES)
    await asyncio.gather(*(one(BULK_BYTES // 20) for _ in range(20)))


async def receive(port: int) -> None:
    """Receive in bulk: one connection, and a crowd."""

    async def one(total: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        while total > 0:
            total -= len(await reader.read(65536))
        writer.transport.abort()

    await one(BULK_BYTES)
    await asyncio.gather(*(one(BULK_BYTES // 20) for _ in range(20)))


async def come_and_go(port: int) -> None:
    """Connections of one question each."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"question\n")
        await reader.readline()
        writer.close()
        await writer.wait_closed()

    for _ in range(20):
        for _ in range(20):
            await one()
        await asyncio.gather(*(one() for _ in range(20)))


async def send_a_file(port: int) -> None:
    """`sendfile()` from a file to a connection."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryFile() as file:
        file.truncate(1024 * 1024)
        for _ in range(20):
            _, writer = await asyncio.open_connection(HOST, port)
            await loop.sendfile(writer.transport, file)
            writer.close()
            await writer.wait_closed()


def questions(*ways: Callable[[bytes], Client]) -> list[Client]:
    """These ways to ask, with questions of each size, a line each."""
    return [way(os.urandom(size - 1).replace(b"\n", b".") + b"\n") for way in ways for size in SIZES]


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
OTHER_REQUEST = b"GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
RESPONSE_BYTES = len(b"200 OK\r\nlength: 5\r\n\r\nhello")

CLIENTS: list[tuple[str, list[Client]]] = [
    ("Echo", [*questions(ask, ask_by_streams, ask_by_sockets), come_and_go]),
    ("BufferedEcho", questions(ask)),
    ("Requests", [ask(request, RESPONSE_BYTES) for request in (REQUEST, OTHER_REQUEST)]),
    ("Source", [receive]),
    ("Sink", [send, send_a_file]),
    ("read", [*questions(ask), come_and_go]),
    ("lines", questions(ask, ask_by_streams)),
    ("readline", questions(ask)),
    ("frames", [ask_by_streams(HEAD.pack(size) + bytes(size)) for size in SIZES]),
    ("requests", [ask_by_streams(request, RESPONSE_BYTES) for request in (REQUEST, OTHER_REQUEST)]),
    ("drop", [send]),
    ("pour", [receive]),
    ("sockets", questions(ask)),
    ("datagrams", [ask_by_datagrams]),
]
"""Each server's name, and its client."""
