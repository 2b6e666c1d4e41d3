"""Streams whose peers reset the connection: what waits gets the error, and what came before is not lost."""

import asyncio
import os
import socket

from witness import is_reset, program, receive_all, reset, stream_pair, turns

BIG = 8_000_000


async def fails(awaitable):
    """The exception that says that the connection was reset."""
    try:
        result = await awaitable
    except OSError as exc:
        assert is_reset(exc), repr(exc)
        return exc
    raise AssertionError(f"returned {result!r}")


async def end(writer):
    """Close a writer whose connection may be lost."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError as exc:
        assert is_reset(exc), repr(exc)


@program
async def readers_are_told():
    """Each way to read, waiting when the RST comes."""
    loop = asyncio.get_running_loop()
    for read in (
        lambda reader: reader.read(10),
        lambda reader: reader.read(),
        lambda reader: reader.readline(),
        lambda reader: reader.readuntil(b"."),
        lambda reader: reader.readexactly(1000),
    ):
        reader, writer, peer = await stream_pair()
        waiting = loop.create_task(read(reader))
        await turns()
        assert not waiting.done()
        reset(peer)
        await fails(waiting)
        # The error stays: nobody takes it for the end of the stream afterwards.
        assert is_reset(reader.exception())
        await fails(read(reader))
        await end(writer)


@program
async def what_came_before_can_be_read():
    """A line that has been received is there, if it was asked for before the error was noticed."""
    loop = asyncio.get_running_loop()
    reader, writer, peer = await stream_pair()
    first = loop.create_task(reader.readexactly(20_000))
    await turns()
    data = os.urandom(20_000)
    assert peer.send(data) == len(data)
    await turns()
    reset(peer)
    assert await first == data
    await fails(reader.read(1))
    await end(writer)


async def read_and_leave(closing):
    reader, writer, peer = await stream_pair()
    reset(peer)
    try:
        await reader.read()
    except ConnectionResetError:
        if closing:
            writer.close()
    await turns()


@program
async def errors_that_nobody_asks_for():
    """An error that a read has raised is not reported again when the streams are collected.

    The error holds the frame that it was raised through, which holds the streams: a cycle, for the collector.
    """
    for closing in (True, False):
        await read_and_leave(closing)


@program
async def drain_is_told():
    """With data in the queue, from one task and from several."""
    for waiters in (1, 5):
        reader, writer, peer = await stream_pair()
        writer.write(bytes(BIG))
        draining = [asyncio.ensure_future(writer.drain()) for _ in range(waiters)]
        await turns()
        assert not any(task.done() for task in draining)
        reset(peer)
        for task in draining:
            await fails(task)
        await fails(writer.drain())
        assert writer.is_closing()
        await end(writer)


@program
async def wait_closed_is_told():
    reader, writer, peer = await stream_pair()
    writer.write(bytes(BIG))
    writer.close()
    closing = asyncio.ensure_future(writer.wait_closed())
    await turns()
    assert not closing.done()
    reset(peer)
    await fails(closing)
    assert is_reset(reader.exception())


@program
async def reset_after_half_closing():
    """By us with `write_eof()`, and by the peer."""
    reader, writer, peer = await stream_pair()
    writer.write(b"all of it")
    writer.write_eof()
    reading = asyncio.ensure_future(reader.read())
    await turns()
    reset(peer)
    await fails(reading)
    await end(writer)

    reader, writer, peer = await stream_pair()
    peer.send(b"all of it")
    peer.shutdown(socket.SHUT_WR)
    assert await reader.read() == b"all of it"
    writer.write(bytes(BIG))
    draining = asyncio.ensure_future(writer.drain())
    await turns()
    reset(peer)
    await fails(draining)
    await end(writer)


@program
async def handlers_of_a_server():
    """A server's handlers, each reset in another place; the server goes on, and nothing it started is left."""
    told = []

    async def handle(reader, writer):
        what = await reader.readline()
        try:
            if what == b"read\n":
                await reader.read()
            elif what == b"write\n":
                while True:
                    writer.write(bytes(100_000))
                    await writer.drain()
            elif what == b"exactly\n":
                await reader.readexactly(10)
            else:
                writer.write(what)
                await writer.drain()
        except ConnectionError as exc:
            assert is_reset(exc)
            told.append(what)
        finally:
            await end(writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    wanted = [b"read\n", b"write\n", b"exactly\n", b"echo\n"] * 25
    for what in wanted:
        peer = socket.create_connection(server.sockets[0].getsockname())
        peer.setblocking(False)
        peer.send(what)
        if what == b"write\n":
            await loop.sock_recv(peer, 10)
        elif what == b"echo\n":
            assert await receive_all(peer) == what
            peer.close()
            continue
        else:
            await turns()
        reset(peer)
    while len(told) < 75:
        await turns(1)
    assert sorted(told) == sorted(what for what in wanted if what != b"echo\n")
    server.close()
    await server.wait_closed()
    while len(asyncio.all_tasks()) > 1:
        await turns(1)
