"""loop.sendfile over transports."""

import asyncio
import os
import socket
import tempfile

from observe import emit, outcome, scenario


async def connected():
    a, b = socket.socketpair()
    b.setblocking(False)
    transport, protocol = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=a)
    return transport, b


async def received(sock, count):
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        data += await loop.sock_recv(sock, count - len(data))
    return data


@scenario
async def whole_and_part():
    transport, other = await connected()
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryFile() as f:
        f.write(b"0123456789")
        f.seek(0)
        emit(await loop.sendfile(transport, f), f.tell(), await received(other, 10))
        emit(await loop.sendfile(transport, f, 2, 3), f.tell(), await received(other, 3))
        emit(await loop.sendfile(transport, f, 8, 100), f.tell(), await received(other, 2))
    transport.close()
    other.close()


@scenario
async def after_written_data():
    transport, other = await connected()
    with tempfile.TemporaryFile() as f:
        f.write(b"file")
        f.seek(0)
        transport.write(b"before ")
        await asyncio.get_running_loop().sendfile(transport, f)
        transport.write(b" after")
        emit(await received(other, 17))
    transport.close()
    other.close()


@scenario
async def big():
    transport, other = await connected()
    with tempfile.TemporaryFile() as f:
        f.write(os.urandom(1000) * 2000)
        f.seek(0)
        sending = asyncio.create_task(asyncio.get_running_loop().sendfile(transport, f))
        emit(len(await received(other, 2_000_000)), await sending)
    transport.close()
    other.close()


@scenario
async def closing():
    transport, other = await connected()
    transport.close()
    with tempfile.TemporaryFile() as f:
        await outcome("closing", asyncio.get_running_loop().sendfile(transport, f))
    other.close()


@scenario
async def no_fallback():
    class Fake(asyncio.Transport):
        def is_closing(self):
            return False

    with tempfile.TemporaryFile() as f:
        await outcome("fake", asyncio.get_running_loop().sendfile(Fake(), f))
        await outcome("fake, no fallback", asyncio.get_running_loop().sendfile(Fake(), f, fallback=False))
