"""open_connection, start_server and StreamWriter over real sockets."""

import asyncio
import gc
import os
import socket
import struct
import tempfile

from observe import attempt, emit, outcome, polled, scenario, spin, until


async def pair(**kwargs):
    """Two connected (reader, writer) pairs."""
    a, b = socket.socketpair()
    return await asyncio.open_connection(sock=a, **kwargs), await asyncio.open_connection(sock=b)


async def closed(*writers):
    for writer in writers:
        writer.close()
    for writer in writers:
        await writer.wait_closed()


@scenario
async def echo():
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for word in (b"one\n", b"two\n"):
            writer.write(word)
            emit(await reader.readline())
        writer.write_eof()
        emit(await reader.read(), reader.at_eof())
        await closed(writer)


@scenario
async def unix_streams():
    async def serve(reader, writer):
        writer.write(b"got " + await reader.read())
        writer.close()
        await writer.wait_closed()

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        async with await asyncio.start_unix_server(serve, path):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"this")
            writer.write_eof()
            emit(await reader.read())
            await closed(writer)


@scenario
async def writer_methods():
    (reader, writer), (other_reader, other_writer) = await pair()
    emit(writer.can_write_eof(), writer.is_closing(), isinstance(writer.transport, asyncio.Transport))
    emit(writer.get_extra_info("socket") is not None, writer.get_extra_info("nothing", 5))
    writer.writelines([b"a", b"b"])
    emit(await writer.drain())
    writer.write(b"c")
    emit(await other_reader.readexactly(3))
    attempt("text", writer.write, "text")
    writer.close()
    emit(writer.is_closing(), await writer.wait_closed(), await writer.wait_closed())
    emit(await other_reader.read())
    await closed(other_writer)


@scenario
async def drain_after_close():
    (reader, writer), (other_reader, other_writer) = await pair()
    writer.close()
    await outcome("drain", writer.drain())
    await writer.wait_closed()
    await outcome("drain later", writer.drain())
    await closed(other_writer)


@scenario
async def drain_after_the_peer_is_gone():
    (reader, writer), (other_reader, other_writer) = await pair()
    other_writer.transport.abort()
    await other_writer.wait_closed()
    emit(await reader.read())
    try:
        for _ in range(20):
            writer.write(b"x" * 1000)
            await writer.drain()
            await polled()
    except ConnectionError as exc:
        emit(isinstance(exc, ConnectionError))
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        emit("wait_closed raises it too")


@scenario
async def drain_waits_for_the_reader():
    (reader, writer), (other_reader, other_writer) = await pair()
    other_writer.transport.pause_reading()
    writer.write(b"x" * 3_000_000)
    task = asyncio.create_task(writer.drain())
    await spin(5)
    emit(task.done())
    other_writer.transport.resume_reading()
    emit(len(await other_reader.readexactly(3_000_000)), await task)
    await closed(writer, other_writer)


@scenario
async def several_drains_at_once():
    (reader, writer), (other_reader, other_writer) = await pair()
    other_writer.transport.pause_reading()
    writer.write(b"x" * 3_000_000)
    tasks = [asyncio.create_task(writer.drain()) for _ in range(3)]
    await spin(5)
    emit([t.done() for t in tasks])
    tasks[0].cancel()
    other_writer.transport.resume_reading()
    await other_reader.readexactly(3_000_000)
    emit(await asyncio.gather(*tasks, return_exceptions=True))
    await closed(writer, other_writer)


@scenario
async def connection_lost_during_drain():
    (reader, writer), (other_reader, other_writer) = await pair()
    other_writer.transport.pause_reading()
    writer.write(b"x" * 3_000_000)
    task = asyncio.create_task(writer.drain())
    await spin(5)
    writer.transport.abort()
    await outcome("drain", task)
    await outcome("wait_closed", writer.wait_closed())
    await closed(other_writer)


@scenario
async def a_lost_connection_in_a_cycle():
    # What `read()` raised is known: that nobody asked `wait_closed()` is not reported beside it. The exception's
    # traceback holds the frame, the frame the writer, and the writer's protocol the exception, so that the garbage
    # collector finds all of them at once, the future before its protocol or after it.
    accepted, served = asyncio.Queue(), asyncio.Queue()

    async def serve(reader, writer):
        accepted.put_nowait(None)
        try:
            await reader.read()
        except ConnectionResetError as exc:
            kept = exc
            writer.close()
            served.put_nowait(type(kept))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    for _ in range(20):
        client = socket.create_connection(server.sockets[0].getsockname())
        await accepted.get()
        # Without lingering, close() sends a reset.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        emit(await served.get())
    server.close()
    await spin(5)
    gc.collect()


@scenario
async def reader_gets_the_rest_after_eof():
    (reader, writer), (other_reader, other_writer) = await pair()
    writer.write(b"first\nsecond")
    await closed(writer)
    emit(await other_reader.readline(), await other_reader.read(), other_reader.at_eof())
    await closed(other_writer)


@scenario
async def half_closed():
    (reader, writer), (other_reader, other_writer) = await pair()
    writer.write_eof()
    emit(await other_reader.read())
    other_writer.write(b"still can")
    await closed(other_writer)
    emit(await reader.read())
    await closed(writer)


@scenario
async def limit():
    (reader, writer), (other_reader, other_writer) = await pair(limit=10)
    other_writer.write(b"a line that is much longer than ten\n")
    await outcome("readline", reader.readline())
    await closed(writer, other_writer)


@scenario
async def back_pressure_of_the_limit():
    (reader, writer), (other_reader, other_writer) = await pair(limit=1000)
    other_writer.write(b"x" * 1_000_000)
    await until(lambda: not writer.transport.is_reading())
    emit("paused")
    emit(len(await reader.readexactly(1_000_000)), writer.transport.is_reading())
    await closed(writer, other_writer)


@scenario(
    differs="A connection's handler that is cancelled is not reported as an error, as since 3.13.",
    differs_in=[(3, 11), (3, 12)],
    expected=[
        ["event", "handler cancelled"],
    ],
)
async def handler_cancelled_with_the_loop():
    started = asyncio.Event()

    async def serve(reader, writer):
        started.set()
        try:
            await reader.read()
        except asyncio.CancelledError:
            emit("handler cancelled")
            raise
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"x")
    await started.wait()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await spin()
    writer.close()
    server.close()


@scenario
async def context_of_the_handler():
    import contextvars

    var = contextvars.ContextVar("var", default="default")
    var.set("when the server started")
    done = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        emit(var.get())
        writer.close()
        done.set_result(None)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    var.set("later")
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await done
    await closed(writer)
    server.close()


@scenario
async def dropped_without_close():
    import gc

    a, b = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=a)
    del reader, writer, a
    gc.collect()
    await spin(2)
    b.close()


@scenario
async def reprs():
    (reader, writer), (other_reader, other_writer) = await pair()
    emit(writer)
    await closed(writer, other_writer)
    emit(reader)


@scenario
async def wrong_arguments():
    await outcome("nothing", asyncio.open_connection())
    await outcome("start_server nothing", asyncio.start_server(None))
    await outcome("unknown host", resolves("host.invalid"))


async def resolves(host):
    try:
        await asyncio.open_connection(host, 80)
    except OSError as exc:
        emit(type(exc))
