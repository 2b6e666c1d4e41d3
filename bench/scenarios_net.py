"""Stream I/O over TCP on the loopback, in messages of 64 bytes.

`streams_ping_pong` holds both ends in one process and is timed there. The others are servers under a load
generator in another process on another core (`load.py`): what they cost is the server's CPU time per
message. Small messages, because the cost per message is the loop's; the cost per byte is the kernel's.
"""

from __future__ import annotations

import asyncio
from typing import cast

from bench.scenario import echo_server, in_process

MESSAGE = b"x" * 64
HOST = "127.0.0.1"


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
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


@echo_server(connections=64)
async def streams_echo_64() -> asyncio.Server:
    """`start_server`: `read`, `write`, `drain`."""
    return await asyncio.start_server(_echo, HOST, 0)


class EchoProtocol(asyncio.Protocol):
    """The least a protocol can do."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@echo_server(connections=64, limit=True)
async def protocol_echo_64() -> asyncio.Server:
    """`create_server` with a Protocol whose `data_received` writes."""
    return await asyncio.get_running_loop().create_server(EchoProtocol, HOST, 0)


class BufferedEchoProtocol(asyncio.BufferedProtocol):
    """The same, receiving into a buffer of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(65536)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(self.buffer[:nbytes])


@echo_server(connections=64)
async def buffered_echo_64() -> asyncio.Server:
    """`create_server` with a BufferedProtocol."""
    return await asyncio.get_running_loop().create_server(BufferedEchoProtocol, HOST, 0)


async def _echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except ConnectionResetError:
        return  # as in _echo
    finally:
        writer.close()


@echo_server(connections=64)
async def readline_echo_64() -> asyncio.Server:
    """`start_server`: `readline`, `write`, `drain`, the shape of every line protocol."""
    return await asyncio.start_server(_echo_lines, HOST, 0)
