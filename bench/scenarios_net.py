"""The network, over the loopback.

`streams_ping_pong` holds both ends in one process and is timed there. The others are servers under a load
generator in another process on another core (`load.py`): what they cost is the server's CPU time per
message. With small messages that is the loop's cost, with large ones the kernel's for the bytes; with one
connection each message is a wait of its own, with many a wait brings several.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import cast

from bench.scenario import in_process, server

MESSAGE = b"x" * 64
HOST = "127.0.0.1"
BACKLOG = 1024
"""Room for all of a load's connections at once, or their first packets are lost and sent again seconds later."""
READ_BYTES = 65536


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
    except ConnectionResetError:
        return  # the load generator ends by closing, which may cross a reply on its way
    finally:
        writer.close()


@in_process("round trip", fixed=2_000)
async def streams_ping_pong(n: int) -> None:
    """`open_connection` to a `start_server` in the same loop: send 64 bytes, wait for their echo."""
    server = await asyncio.start_server(_echo, HOST, 0)
    reader, writer = await asyncio.open_connection(HOST, server.sockets[0].getsockname()[1])
    for _ in range(n):
        writer.write(MESSAGE)
        await reader.readexactly(64)
    writer.close()
    await writer.wait_closed()
    server.close()


class EchoProtocol(asyncio.Protocol):
    """The least a protocol can do."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def _serve(protocol: type[asyncio.BaseProtocol]) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(protocol, HOST, 0, backlog=BACKLOG)


@server()
async def protocol_echo() -> asyncio.Server:
    """`create_server` with a Protocol whose `data_received` writes."""
    return await _serve(EchoProtocol)


class BufferedEchoProtocol(asyncio.BufferedProtocol):
    """The same, receiving into a buffer of its own."""

    def __init__(self) -> None:
        # Longer than what is used of it: a slice that lay right behind 64 KiB would start 16 bytes past a multiple of
        # 4096 from them, and such a copy takes ten times as long (README, "How noise is handled"). So it was on the
        # loops that allocate nothing in between.
        self.buffer = bytearray(65536 + 2048)
        self.view = memoryview(self.buffer)[:65536]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(self.buffer[:nbytes])


@server()
async def buffered_echo() -> asyncio.Server:
    """`create_server` with a BufferedProtocol."""
    return await _serve(BufferedEchoProtocol)


@server(beside="protocol_echo")
async def streams_read_echo() -> asyncio.Server:
    """`start_server`: `read`, `write`, `drain`."""
    return await asyncio.start_server(_echo, HOST, 0, backlog=BACKLOG, limit=2 * READ_BYTES)


async def _echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except ConnectionResetError:
        return  # as in _echo
    finally:
        writer.close()


@server(beside="protocol_echo")
async def streams_readline_echo() -> asyncio.Server:
    """`start_server`: `readline`, `write`, `drain`, the shape of every line protocol."""
    return await asyncio.start_server(_echo_lines, HOST, 0, backlog=BACKLOG, limit=2 * READ_BYTES)


class SocketServer:
    """What `server.py` wants of a server, over a socket and whatever serves it."""

    def __init__(self, sock: socket.socket, held: object) -> None:
        self.sockets = [sock]
        self._held = held

    def close(self) -> None:
        """Close the socket."""
        self.sockets[0].close()


@server()
async def sock_echo() -> SocketServer:
    """`sock_accept`, then `sock_recv` and `sock_sendall` in a task for each connection."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server((HOST, 0), backlog=BACKLOG)
    listener.setblocking(False)
    tasks = set()

    async def echo(sock: socket.socket) -> None:
        with sock, suppress(ConnectionResetError):  # as in _echo
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := await loop.sock_recv(sock, READ_BYTES):
                await loop.sock_sendall(sock, data)

    async def accept() -> None:
        while True:
            sock, _ = await loop.sock_accept(listener)
            task = loop.create_task(echo(sock))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    return SocketServer(listener, loop.create_task(accept()))


class DatagramEchoProtocol(asyncio.DatagramProtocol):
    """The least a datagram protocol can do."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


# A message from each of more sockets, or larger ones, would not fit into the receive buffer that a socket has.
@server(load="udp", connections=(1, 64), sizes=(64, 1024))
async def udp_echo() -> SocketServer:
    """`create_datagram_endpoint` whose `datagram_received` answers with `sendto`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    loop = asyncio.get_running_loop()
    return SocketServer(sock, await loop.create_datagram_endpoint(DatagramEchoProtocol, sock=sock))


@server(load="connect", connections=(1, 64), sizes=(64,))
async def protocol_connect() -> asyncio.Server:
    """The protocol's server, for connections that bring one message each and end."""
    return await _serve(EchoProtocol)


@server(load="connect", connections=(1, 64), sizes=(64,))
async def streams_connect() -> asyncio.Server:
    """The streams' server, for connections that bring one message each and end."""
    return await asyncio.start_server(_echo, HOST, 0, backlog=BACKLOG)


class Sink(asyncio.Protocol):
    """Takes what comes."""

    def data_received(self, data: bytes) -> None:
        pass


@server(load="send", connections=(1, 64), sizes=(65536,))
async def protocol_bulk_in() -> asyncio.Server:
    """`data_received` that drops what it gets."""
    return await _serve(Sink)


async def _drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(READ_BYTES):
            pass
    except ConnectionResetError:
        return
    finally:
        writer.close()


@server(load="send", connections=(1, 64), sizes=(65536,))
async def streams_bulk_in() -> asyncio.Server:
    """`read` up to 64 KiB, and again."""
    return await asyncio.start_server(_drop, HOST, 0, backlog=BACKLOG, limit=2 * READ_BYTES)


BLOCK = b"x" * 65536


class Source(asyncio.Protocol):
    """Sends as long as it is not paused."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.paused = False
        asyncio.get_running_loop().call_soon(self.pour)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pour()

    def pour(self) -> None:
        """Write, but let the loop have its turn if the other side reads as fast as this."""
        for _ in range(16):
            if self.paused or self.transport.is_closing():
                return
            self.transport.write(BLOCK)
        asyncio.get_running_loop().call_soon(self.pour)


@server(load="receive", connections=(1, 64), sizes=(65536,))
async def protocol_bulk_out() -> asyncio.Server:
    """`write` of 64 KiB until `pause_writing`, and on at `resume_writing`."""
    return await _serve(Source)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(BLOCK)
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


@server(load="receive", connections=(1, 64), sizes=(65536,))
async def streams_bulk_out() -> asyncio.Server:
    """`write` of 64 KiB and `drain`, and again."""
    return await asyncio.start_server(_pour, HOST, 0, backlog=BACKLOG)
