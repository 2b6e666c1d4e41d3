"""create_datagram_endpoint: callbacks, errors, closing."""

import asyncio
import socket
import sys

from observe import attempt, emit, outcome, scenario, spin


class Log(asyncio.DatagramProtocol):
    def __init__(self):
        loop = asyncio.get_running_loop()
        self.received = asyncio.Queue()
        self.closed = loop.create_future()
        self.error = loop.create_future()

    def connection_made(self, transport):
        # Stock's became one with 3.12.
        emit(
            "connection_made", sys.version_info < (3, 12) or isinstance(transport, asyncio.DatagramTransport)
        )
        self.transport = transport

    def datagram_received(self, data, address):
        self.received.put_nowait((data, address))

    def error_received(self, exc):
        if not self.error.done():
            self.error.set_result(exc)

    def connection_lost(self, exc):
        emit("connection_lost", exc)
        self.closed.set_result(None)


async def endpoint(**kwargs):
    kwargs.setdefault("local_addr", ("127.0.0.1", 0))
    return await asyncio.get_running_loop().create_datagram_endpoint(Log, **kwargs)


@scenario
async def exchange():
    one, first = await endpoint()
    two, second = await endpoint()
    one.sendto(b"hello", two.get_extra_info("sockname"))
    data, address = await second.received.get()
    emit(data, address == one.get_extra_info("sockname"))
    two.sendto(b"back", address)
    emit((await first.received.get())[0])
    for protocol in (first, second):
        protocol.transport.close()
        await protocol.closed


@scenario
async def connected():
    two, second = await endpoint()
    one, first = await endpoint(local_addr=None, remote_addr=two.get_extra_info("sockname"))
    one.sendto(b"no address")
    one.sendto(b"right address", two.get_extra_info("sockname"))
    emit((await second.received.get())[0], (await second.received.get())[0])
    attempt("other address", one.sendto, b"x", ("127.0.0.1", 1))
    one.close()
    two.close()
    await first.closed
    await second.closed


@scenario
async def refused():
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    one, first = await endpoint(local_addr=None, remote_addr=address)
    one.sendto(b"nobody there")
    emit(await first.error)
    one.close()
    await first.closed


@scenario
async def after_close():
    one, first = await endpoint()
    one.close()
    emit(one.is_closing())
    attempt("close again", one.close)
    attempt("abort", one.abort)
    await first.closed


@scenario
async def wrong_data():
    one, first = await endpoint()
    address = one.get_extra_info("sockname")
    attempt("text", one.sendto, "text", address)
    attempt("None", one.sendto, None, address)
    attempt("bytearray", one.sendto, bytearray(b"fine"), address)
    attempt("memoryview", one.sendto, memoryview(b"fine too"), address)
    emit((await first.received.get())[0], (await first.received.get())[0])
    one.close()
    await first.closed


@scenario
async def abort():
    one, first = await endpoint()
    one.abort()
    await first.closed


@scenario
async def arguments():
    loop = asyncio.get_running_loop()
    await outcome("nothing", loop.create_datagram_endpoint(Log))
    await outcome("one number", loop.create_datagram_endpoint(Log, local_addr=("127.0.0.1",)))
    await outcome("mixed families", loop.create_datagram_endpoint(Log, family=socket.AF_UNIX, local_addr=5))
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        try:
            await loop.create_datagram_endpoint(Log, sock=stream)
        except ValueError as exc:
            emit(str(exc).split(" got ")[0].split(": <")[0])
        await outcome(
            "sock and address", loop.create_datagram_endpoint(Log, local_addr=("127.0.0.1", 0), sock=datagram)
        )


@scenario
async def given_socket():
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    one, first = await endpoint(local_addr=None, sock=sock)
    one.sendto(b"to myself", one.get_extra_info("sockname"))
    emit((await first.received.get())[0], one.get_extra_info("peername"), one.get_write_buffer_size())
    one.close()
    await first.closed
    await spin()


@scenario
async def failing_protocol():
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def handler(loop, context):
        emit(context["message"], context["exception"])

    class Fails(Log):
        def datagram_received(self, data, address):
            if data == b"end":
                done.set_result(None)
            else:
                raise ValueError("in datagram_received")

        def connection_lost(self, exc):
            emit("connection_lost", type(exc))
            if not done.done():
                done.set_result(None)

    loop.set_exception_handler(handler)
    one, _ = await loop.create_datagram_endpoint(Fails, local_addr=("127.0.0.1", 0))
    one.sendto(b"x", one.get_extra_info("sockname"))
    one.sendto(b"end", one.get_extra_info("sockname"))
    await done
    one.close()
    await spin(2)
