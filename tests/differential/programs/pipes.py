"""connect_read_pipe and connect_write_pipe."""

import asyncio
import os
import tempfile

from observe import attempt, emit, outcome, polled, scenario, spin


class Log(asyncio.Protocol):
    def __init__(self):
        self.data = b""
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        emit(
            "connection_made",
            isinstance(transport, asyncio.ReadTransport),
            isinstance(transport, asyncio.WriteTransport),
        )

    def data_received(self, data):
        self.data += data

    def eof_received(self):
        emit("eof_received")

    def connection_lost(self, exc):
        emit("connection_lost", exc)
        self.closed.set_result(None)


def ends():
    r, w = os.pipe()
    return open(r, "rb", 0), open(w, "wb", 0)


@scenario
async def reading():
    r, w = ends()
    transport, protocol = await asyncio.get_running_loop().connect_read_pipe(Log, r)
    emit(transport.get_extra_info("pipe") is r, transport.is_closing())
    w.write(b"some data")
    w.close()
    await protocol.closed
    emit(protocol.data, r.closed)


@scenario
async def writing():
    r, w = ends()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Log, w)
    transport.write(b"written")
    emit(os.read(r.fileno(), 100), transport.get_write_buffer_size(), transport.can_write_eof())
    transport.write_eof()
    await protocol.closed
    emit(r.read(), w.closed)
    r.close()


@scenario
async def reader_goes_away():
    r, w = ends()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Log, w)
    r.close()
    await protocol.closed
    attempt("write afterwards", transport.write, b"x")


@scenario
async def closing():
    r, w = ends()
    transport, protocol = await asyncio.get_running_loop().connect_read_pipe(Log, r)
    transport.close()
    emit(transport.is_closing(), protocol.closed.done())
    await protocol.closed
    attempt("close again", transport.close)
    w.close()


@scenario
async def pausing():
    r, w = ends()
    transport, protocol = await asyncio.get_running_loop().connect_read_pipe(Log, r)
    transport.pause_reading()
    w.write(b"waits")
    await polled()
    emit(protocol.data)
    transport.resume_reading()
    w.close()
    await protocol.closed
    emit(protocol.data)


@scenario
async def abort_with_data():
    r, w = ends()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Log, w)
    transport.write(b"x" * 1_000_000)
    emit(transport.get_write_buffer_size() > 0)
    transport.abort()
    await protocol.closed
    r.close()


@scenario
async def not_pipes():
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryFile() as f:
        await outcome("read", loop.connect_read_pipe(Log, f))
        await outcome("write", loop.connect_write_pipe(Log, f))


@scenario
async def wrong_data():
    r, w = ends()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Log, w)
    for value in ("text", 5, None):
        try:
            transport.write(value)
        except (TypeError, AssertionError) as exc:
            emit(type(value), type(exc))
    transport.close()
    await protocol.closed
    r.close()
    await spin()
