"""StreamReader: read, readline, readuntil, readexactly, limits, end of file, exceptions."""

import asyncio
import sys

from observe import attempt, attempt_type, emit, outcome, scenario, spin


def fed(*chunks, eof=True, limit=2**16):
    reader = asyncio.StreamReader(limit=limit)
    for chunk in chunks:
        reader.feed_data(chunk)
    if eof:
        reader.feed_eof()
    return reader


@scenario
async def read():
    reader = fed(b"hello world")
    emit(
        await reader.read(5),
        await reader.read(0),
        await reader.read(-1),
        await reader.read(),
        reader.at_eof(),
    )
    reader = fed(b"one", b"two", eof=False)
    emit(await reader.read(100))
    task = asyncio.create_task(reader.read())
    await spin()
    reader.feed_data(b"three")
    await spin()
    emit(task.done())
    reader.feed_eof()
    emit(await task)


@scenario
async def read_waits():
    reader = asyncio.StreamReader()
    task = asyncio.create_task(reader.read(10))
    await spin()
    reader.feed_data(b"abc")
    emit(await task)
    task = asyncio.create_task(reader.read(10))
    await spin()
    reader.feed_eof()
    emit(await task)


@scenario
async def readline():
    reader = fed(b"one\ntw", b"o\nlast")
    for _ in range(4):
        emit(await reader.readline(), reader.at_eof())


@scenario
async def readline_in_pieces():
    reader = asyncio.StreamReader()
    task = asyncio.create_task(reader.readline())
    for piece in (b"a", b"bc", b"\nrest"):
        await spin()
        reader.feed_data(piece)
    emit(await task)
    reader.feed_eof()
    emit(await reader.read())


@scenario
async def readline_limit():
    reader = fed(b"too long a line\nnext\n", limit=5)
    await outcome("line", reader.readline())
    await outcome("next", reader.readline())
    reader = fed(b"no newline at all", limit=5, eof=False)
    await outcome("line", reader.readline())
    reader.feed_data(b"more\nand\n")
    await outcome("next", reader.readline())


@scenario
async def readexactly():
    reader = fed(b"0123456789")
    emit(await reader.readexactly(3), await reader.readexactly(0))
    try:
        await reader.readexactly(20)
    except asyncio.IncompleteReadError as exc:
        emit(exc, exc.partial, exc.expected)
    await outcome("negative", reader.readexactly(-1))
    emit(await reader.read())
    reader = asyncio.StreamReader()
    task = asyncio.create_task(reader.readexactly(4))
    for piece in (b"a", b"b", b"cde"):
        await spin()
        reader.feed_data(piece)
    emit(await task)
    reader.feed_eof()
    emit(await reader.read())


@scenario
async def readuntil():
    reader = fed(b"key: value\r\n\r\nbody")
    emit(await reader.readuntil(b": "), await reader.readuntil(b"\r\n\r\n"))
    try:
        await reader.readuntil(b"!")
    except asyncio.IncompleteReadError as exc:
        emit(exc, exc.partial, exc.expected)
    await outcome("empty separator", reader.readuntil(b""))
    emit(await fed(b"a\nb").readuntil())


@scenario
async def readuntil_separator_across_chunks():
    reader = asyncio.StreamReader()
    task = asyncio.create_task(reader.readuntil(b"END"))
    for piece in (b"dataE", b"N", b"Drest"):
        await spin()
        reader.feed_data(piece)
    emit(await task)
    reader.feed_eof()
    emit(await reader.read())


@scenario
async def readuntil_limit():
    reader = fed(b"x" * 10 + b"\n" + b"y", limit=5)
    try:
        await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as exc:
        emit(exc, exc.consumed)
    reader = fed(b"x" * 20, limit=5, eof=False)
    try:
        await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as exc:
        emit(exc, exc.consumed)
    emit(await reader.readexactly(20))


@scenario(since=(3, 13))
async def readuntil_several_separators():
    reader = fed(b"one;two,three")
    emit(await reader.readuntil((b";", b",")), await reader.readuntil((b";", b",")))
    await outcome("empty tuple", reader.readuntil(()))
    await outcome("empty among them", reader.readuntil((b"x", b"")))


@scenario
async def iteration():
    emit([line async for line in fed(b"one\ntwo\nthree")])


@scenario
async def exceptions():
    reader = fed(b"data", eof=False)
    emit(reader.exception())
    reader.set_exception(ConnectionError("lost"))
    emit(reader.exception())
    for name, args in (("read", (1,)), ("readline", ()), ("readexactly", (1,)), ("readuntil", ())):
        await outcome(name, getattr(reader, name)(*args))
    reader = asyncio.StreamReader()
    task = asyncio.create_task(reader.read(1))
    await spin()
    reader.set_exception(ValueError("while waiting"))
    await outcome("waiting", task)


@scenario
async def two_readers_at_once():
    reader = asyncio.StreamReader()
    first = asyncio.create_task(reader.readline())
    await spin()
    await outcome("second", reader.read(1))
    reader.feed_data(b"line\n")
    emit(await first)


@scenario
async def cancelled():
    reader = asyncio.StreamReader()
    for name, args in (("read", (5,)), ("readline", ()), ("readexactly", (5,)), ("readuntil", ())):
        task = asyncio.create_task(getattr(reader, name)(*args))
        await spin()
        task.cancel(name)
        await outcome(name, task)
    reader.feed_data(b"kept\n")
    emit(await reader.readline())


@scenario
async def misuse():
    attempt("limit 0", lambda: asyncio.StreamReader(limit=0))
    attempt("limit -1", lambda: asyncio.StreamReader(limit=-1))
    reader = fed(b"x")
    attempt("feed after eof", reader.feed_data, b"y")
    attempt("feed nothing", asyncio.StreamReader().feed_data, b"")
    attempt_type("feed text", asyncio.StreamReader().feed_data, "text")
    attempt("eof twice", reader.feed_eof)
    await outcome("n is text", reader.read("1"))
    await outcome("separator is text", reader.readuntil("x"))


@scenario
async def reprs():
    reader = asyncio.StreamReader()
    emit(reader)
    reader.feed_data(b"abc")
    reader.feed_eof()
    emit(reader)
    reader = asyncio.StreamReader(limit=10)
    reader.set_exception(ValueError("x"))
    emit(reader)


@scenario
def without_a_loop():
    if sys.version_info >= (3, 12):
        attempt_type("StreamReader", lambda: type(asyncio.StreamReader()))
    loop = asyncio.new_event_loop()
    reader = asyncio.StreamReader(loop=loop)
    reader.feed_data(b"data")
    emit(loop.run_until_complete(reader.read(10)))
    loop.close()


@scenario
async def flow_control_of_the_transport():
    class Transport(asyncio.Transport):
        def pause_reading(self):
            emit("pause_reading")

        def resume_reading(self):
            emit("resume_reading")

    reader = asyncio.StreamReader(limit=3)
    reader.set_transport(Transport())
    reader.feed_data(b"1234567")
    emit(await reader.read(1), await reader.read(1))
    emit(await reader.read(10))
    reader.feed_data(b"1234567")
    emit(await reader.readexactly(6), await reader.read(5))
