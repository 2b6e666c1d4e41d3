"""TCP transports and protocols: which callbacks come in which order."""

import asyncio
import socket

from observe import attempt, emit, outcome, polled, scenario, spin, until


class Log(asyncio.Protocol):
    """Writes every callback; ``closed`` resolves with connection_lost."""

    def __init__(self, name):
        self.name = name
        self.received = b""
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        emit(self.name, "connection_made", isinstance(transport, asyncio.Transport), transport.is_closing())

    def data_received(self, data):
        self.received += data

    def eof_received(self):
        emit(self.name, "eof_received", self.received)

    def connection_lost(self, exc):
        emit(self.name, "connection_lost", exc, self.received)
        self.closed.set_result(None)

    def pause_writing(self):
        emit(self.name, "pause_writing")

    def resume_writing(self):
        emit(self.name, "resume_writing")


async def connected(server_class=Log, client_class=Log):
    """A server, its one connection's protocol and the client's."""
    loop = asyncio.get_running_loop()
    accepted = loop.create_future()

    def factory():
        protocol = server_class("server")
        accepted.set_result(protocol)
        return protocol

    server = await loop.create_server(factory, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    _, client = await loop.create_connection(lambda: client_class("client"), *address)
    return server, await accepted, client


class Quiet(Log):
    """Says only how it ended: the two ends' callbacks are not ordered between each other."""

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        self.lost = exc
        self.closed.set_result(None)

    def eof_received(self):
        self.eof = True


async def finish(server, *protocols):
    for protocol in protocols:
        protocol.transport.close()
    await asyncio.gather(*(p.closed for p in protocols))
    server.close()
    await server.wait_closed()


@scenario
async def connect_write_close():
    server, there, client = await connected(Quiet)
    client.transport.write(b"hello ")
    client.transport.writelines([b"big ", bytearray(b"wide "), memoryview(b"world")])
    client.transport.close()
    emit(client.transport.is_closing())
    await client.closed
    await there.closed
    emit(there.received, there.lost, there.eof)
    await finish(server)


@scenario
async def server_closes():
    server, there, client = await connected(Quiet)
    there.transport.write(b"bye")
    there.transport.close()
    await client.closed
    await there.closed
    emit(there.lost)
    await finish(server)


@scenario
async def half_close():
    class KeepsOpen(Quiet):
        def eof_received(self):
            emit("server: eof", self.received)
            self.transport.write(b"answer after eof")
            self.transport.close()
            return True

    server, there, client = await connected(KeepsOpen, Quiet)
    emit(client.transport.can_write_eof())
    client.transport.write(b"question")
    client.transport.write_eof()
    attempt("write after write_eof", client.transport.write, b"more")
    attempt("write_eof again", client.transport.write_eof)
    await client.closed
    emit(client.received, client.lost)
    await there.closed
    await finish(server)


@scenario
async def eof_received_false_closes():
    server, there, client = await connected(Quiet, Quiet)
    client.transport.write_eof()
    await there.closed
    emit(there.transport.is_closing(), there.lost)
    await client.closed
    emit(client.lost)
    await finish(server)


@scenario(
    differs="`writelines()` on a closed transport drops the data, as `write()` does. asyncio raises `TypeError`.",
    differs_in=[(3, 12), (3, 13)],
    expected=[
        ["event", "write", "returned", None],
        ["event", "write", "returned", None],
        ["event", "write", "returned", None],
        ["event", "writelines", "returned", None],
        ["event", "close again", "returned", None],
        ["event", "abort", "returned", None],
        ["log", "WARNING", "socket.send() raised exception.", None],
        ["event", "write after connection_lost", "returned", None],
        ["event", "b''"],
    ],
)
async def write_after_close():
    server, there, client = await connected(Quiet, Quiet)
    client.transport.close()
    for _ in range(3):
        attempt("write", client.transport.write, b"too late")
    attempt("writelines", client.transport.writelines, [b"too late"])
    attempt("close again", client.transport.close)
    attempt("abort", client.transport.abort)
    await client.closed
    attempt("write after connection_lost", client.transport.write, b"too late")
    await there.closed
    emit(there.received)
    await finish(server)


@scenario
async def abort():
    server, there, client = await connected(Quiet, Quiet)
    client.transport.abort()
    emit("not yet", client.closed.done())
    await client.closed
    emit(client.lost)
    await there.closed
    await finish(server)


@scenario
async def reset_by_the_peer():
    import struct

    server, there, client = await connected(Quiet, Quiet)
    sock = there.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    there.transport.abort()
    await client.closed
    emit(type(client.lost))
    await there.closed
    await finish(server)


@scenario(
    differs="`writelines()` refuses a wrong argument in the words of 3.12.",
    differs_in=[(3, 11)],
    expected=[
        [
            "event",
            "write",
            "raised",
            {"exception": "TypeError", "message": "data argument must be a bytes-like object, not 'str'"},
        ],
        [
            "event",
            "write",
            "raised",
            {"exception": "TypeError", "message": "data argument must be a bytes-like object, not 'int'"},
        ],
        [
            "event",
            "write",
            "raised",
            {
                "exception": "TypeError",
                "message": "data argument must be a bytes-like object, not 'NoneType'",
            },
        ],
        [
            "event",
            "write",
            "raised",
            {"exception": "TypeError", "message": "data argument must be a bytes-like object, not 'list'"},
        ],
        ["event", "empty", "returned", None],
        [
            "event",
            "writelines",
            "raised",
            {"exception": "TypeError", "message": "memoryview: a bytes-like object is required, not 'str'"},
        ],
    ],
)
async def wrong_data():
    server, there, client = await connected(Quiet, Quiet)
    for data in ("text", 5, None, [b"list"]):
        attempt("write", client.transport.write, data)
    attempt("empty", client.transport.write, b"")
    attempt("writelines", client.transport.writelines, ["text"])
    await finish(server, client, there)


@scenario
async def pause_and_resume_reading():
    server, there, client = await connected(Quiet, Quiet)
    emit(there.transport.is_reading())
    there.transport.pause_reading()
    emit(there.transport.is_reading())
    attempt("pause twice", there.transport.pause_reading)
    client.transport.write(b"waits")
    await polled()
    emit(there.received)
    there.transport.resume_reading()
    attempt("resume twice", there.transport.resume_reading)
    await until(lambda: there.received)
    emit(there.received)
    await finish(server, client, there)
    attempt("pause after close", there.transport.pause_reading)
    attempt("resume after close", there.transport.resume_reading)
    emit(there.transport.is_reading())


@scenario
async def flow_control():
    class Slow(Quiet):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    server, there, client = await connected(Slow)
    client.transport.set_write_buffer_limits(high=64 * 1024)
    emit(client.transport.get_write_buffer_limits(), client.transport.get_write_buffer_size())
    client.transport.write(b"x" * 20_000_000)
    await spin(3)
    emit(client.transport.get_write_buffer_size() > 64 * 1024)
    there.transport.resume_reading()
    await until(lambda: len(there.received) == 20_000_000)
    emit(client.transport.get_write_buffer_size())
    await finish(server, there)
    await client.closed if not client.closed.done() else None


@scenario
async def write_buffer_limits():
    server, there, client = await connected(Quiet, Quiet)
    transport = client.transport
    emit(transport.get_write_buffer_limits())
    for kwargs in ({"high": 100}, {"low": 100}, {"high": 10, "low": 5}, {"high": 0}, {"low": 0}, {}):
        transport.set_write_buffer_limits(**kwargs)
        emit(kwargs, transport.get_write_buffer_limits())
    attempt("low above high", lambda: transport.set_write_buffer_limits(high=1, low=2))
    attempt("negative", lambda: transport.set_write_buffer_limits(high=-1))
    await finish(server, client, there)


@scenario
async def extra_info():
    server, there, client = await connected(Quiet, Quiet)
    sock = client.transport.get_extra_info("socket")
    emit(client.transport.get_extra_info("sockname") == sock.getsockname())
    emit(client.transport.get_extra_info("peername") == there.transport.get_extra_info("sockname"))
    emit(client.transport.get_extra_info("no such thing"), client.transport.get_extra_info("x", "default"))
    emit(sock.family.name, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0, sock.gettimeout())
    emit(type(sock), client.transport.get_protocol() is client)
    await finish(server, client, there)


@scenario
async def set_protocol():
    server, there, client = await connected(Quiet, Quiet)
    new = Quiet("new")
    new.transport = there.transport
    there.transport.set_protocol(new)
    emit(there.transport.get_protocol() is new)
    client.transport.write(b"to the new one")
    client.transport.close()
    await new.closed
    emit(there.received, new.received)
    await client.closed
    await finish(server)


@scenario
async def failing_protocol():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda loop, context: emit(context["message"], context["exception"], sorted(context))
    )

    class Fails(Quiet):
        def data_received(self, data):
            raise ValueError("in data_received")

    server, there, client = await connected(Fails, Quiet)
    client.transport.write(b"x")
    await there.closed
    emit(there.lost)
    await client.closed
    await finish(server)


@scenario
async def failing_eof_received():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: emit(context["message"], context["exception"]))

    class Fails(Quiet):
        def eof_received(self):
            raise ValueError("in eof_received")

    server, there, client = await connected(Fails, Quiet)
    client.transport.close()
    await there.closed
    emit(there.lost)
    await client.closed
    await finish(server)


@scenario
async def callbacks_of_one_end():
    a, b = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(lambda: Log("end"), sock=a)
    b.sendall(b"data")
    b.shutdown(socket.SHUT_WR)
    await protocol.closed
    emit(b.recv(10))
    b.close()


@scenario
async def buffered_protocol():
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer = bytearray(4)
            self.closed = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            emit("connection_made")

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, nbytes):
            emit("buffer_updated", nbytes, bytes(self.buffer[:nbytes]))

        def eof_received(self):
            emit("eof_received")

        def connection_lost(self, exc):
            emit("connection_lost", exc)
            self.closed.set_result(None)

    a, b = socket.socketpair()
    b.sendall(b"0123456789")
    b.shutdown(socket.SHUT_WR)
    _, protocol = await asyncio.get_running_loop().create_connection(Buffered, sock=a)
    await protocol.closed
    b.close()


@scenario
async def buffered_protocol_with_bad_buffers():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: emit(context["message"], context["exception"]))
    for buffer in (bytearray(), b"read-only", None):

        class Bad(asyncio.BufferedProtocol):
            def __init__(self, buffer=buffer):
                self.buffer = buffer
                self.closed = loop.create_future()

            def get_buffer(self, sizehint):
                return self.buffer

            def connection_lost(self, exc):
                emit("connection_lost", type(exc))
                self.closed.set_result(None)

        a, b = socket.socketpair()
        b.sendall(b"data")
        _, protocol = await loop.create_connection(Bad, sock=a)
        await protocol.closed
        b.close()


@scenario
async def refused():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    sock.close()
    try:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
    except ConnectionRefusedError as exc:
        emit(type(exc), exc.errno, str(exc).replace(str(port), "PORT"))


@scenario
async def connect_arguments():
    loop = asyncio.get_running_loop()
    a, b = socket.socketpair()
    await outcome("nothing", loop.create_connection(asyncio.Protocol))
    await outcome("host and sock", loop.create_connection(asyncio.Protocol, "127.0.0.1", 1, sock=a))
    await outcome("server_hostname", loop.create_connection(asyncio.Protocol, sock=a, server_hostname="x"))
    await outcome("ssl timeout", loop.create_connection(asyncio.Protocol, sock=a, ssl_handshake_timeout=1))
    await outcome("ssl without host", loop.create_connection(asyncio.Protocol, sock=a, ssl=True))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        await loop.create_connection(asyncio.Protocol, sock=udp)
    except ValueError as exc:
        emit(str(exc).split(" got ")[0])
    for sock in (a, b, udp):
        sock.close()


@scenario
async def factory_fails():
    a, b = socket.socketpair()

    def factory():
        raise KeyError("factory")

    await outcome("create_connection", asyncio.get_running_loop().create_connection(factory, sock=a))
    a.close()
    b.close()


@scenario
async def connection_made_fails():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: emit(context["message"], context["exception"]))

    class Fails(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            raise ValueError("in connection_made")

    a, b = socket.socketpair()
    transport, _ = await loop.create_connection(Fails, sock=a)
    transport.close()
    b.close()
    await spin(3)


@scenario
async def connection_lost_fails():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: emit(context["message"], context["exception"]))

    class Fails(asyncio.Protocol):
        def connection_lost(self, exc):
            raise ValueError("in connection_lost")

    a, b = socket.socketpair()
    transport, _ = await loop.create_connection(Fails, sock=a)
    transport.close()
    b.close()
    await spin(3)


@scenario(
    differs="A transport that is collected without `close()` gives one `ResourceWarning`. asyncio gives "
    "a second one, for the socket inside.",
    expected=[
        [
            "warning",
            "ResourceWarning",
            "unclosed transport <SocketTransport fd=N read=idle write=<idle, bufsize=0>>",
        ],
    ],
)
async def unclosed_transport():
    a, b = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=a)
    transport.pause_reading()
    import gc

    del transport, _, a
    gc.collect()
    await spin(3)
    b.close()


@scenario
async def close_flushes():
    server, there, client = await connected(Quiet, Quiet)
    client.transport.write(b"y" * 5_000_000)
    client.transport.close()
    await client.closed
    await there.closed
    emit(len(there.received), client.lost, there.lost)
    await finish(server)
