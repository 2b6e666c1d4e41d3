"""TLS transports with protocols: the order of calls, how connections end, log records, what the handler is told."""

import asyncio
import logging
import os
import socket
import ssl

from observe import attempt, emit, outcome, polled, scenario, spin, watch_exceptions

CERTIFICATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tls", "certificates")


def contexts():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(os.path.join(CERTIFICATES, "ecdsa.pem"))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(os.path.join(CERTIFICATES, "ca.pem"))
    # One version, so that both sides take the same steps in every run.
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_2
    return server, client


class Recorder(asyncio.Protocol):
    """Writes every call into the trace; data once it is whole."""

    keep_open = False

    def __init__(self, name):
        self.name = name
        self.data = bytearray()
        self.lost = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        emit(self.name, "made", type(transport))

    def data_received(self, data):
        self.data += data
        self.changed.set()

    def eof_received(self):
        emit(self.name, "eof", bytes(self.data))
        return self.keep_open

    def pause_writing(self):
        emit(self.name, "pause")

    def resume_writing(self):
        emit(self.name, "resume")

    def connection_lost(self, exc):
        emit(self.name, "lost", exc)
        self.lost.set_result(None)

    async def receive(self, count):
        while len(self.data) < count:
            self.changed.clear()
            await self.changed.wait()
        taken = bytes(self.data)
        self.data.clear()
        return taken


async def pair(client=Recorder, server=Recorder, **options):
    """Two connected protocols: (the client's, the server's)."""
    loop = asyncio.get_running_loop()
    server_context, client_context = contexts()
    a, b = socket.socketpair()
    (_, accepted), (_, connected) = await asyncio.gather(
        loop.connect_accepted_socket(lambda: server("server"), b, ssl=server_context, **options),
        loop.create_connection(
            lambda: client("client"), sock=a, ssl=client_context, server_hostname="localhost", **options
        ),
    )
    return connected, accepted


async def ended(*protocols):
    for protocol in protocols:
        await protocol.lost


@scenario
async def a_conversation():
    client, server = await pair()
    client.transport.write(b"ping")
    emit(await server.receive(4))
    server.transport.writelines([b"po", b"", b"ng"])
    emit(await client.receive(4))
    client.transport.close()
    emit(client.transport.is_closing(), server.transport.is_closing())
    await ended(client, server)
    emit(client.transport.is_closing(), server.transport.is_closing())


@scenario
async def the_server_closes():
    client, server = await pair()
    server.transport.write(b"bye")
    server.transport.close()
    await ended(client, server)


@scenario
async def both_close_at_once():
    client, server = await pair()
    server.transport.close()
    client.transport.close()
    await ended(client, server)


@scenario
async def an_abort():
    client, server = await pair()
    client.transport.abort()
    await ended(client, server)


@scenario
async def an_abort_in_a_close():
    client, server = await pair()
    client.transport.close()
    client.transport.abort()
    client.transport.close()
    await ended(client, server)


@scenario
async def eof_received_returns_true():
    class Keeping(Recorder):
        keep_open = True

    client, server = await pair(Keeping, Keeping)
    client.transport.close()
    await ended(client, server)


@scenario
async def the_socket_ends_under_it():
    client, server = await pair()
    client.transport.write(b"last words")
    client.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
    await ended(client, server)


@scenario
async def a_shutdown_that_times_out():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    client, server = await pair(ssl_shutdown_timeout=0.02)
    # The server hears nothing any more, and so does not answer.
    below = server.transport._ssl_protocol._transport
    below.pause_reading()
    client.transport.close()
    await client.lost
    below.resume_reading()
    await server.lost


@scenario
async def a_handshake_that_times_out():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    a, b = socket.socketpair()
    await outcome(
        "client",
        loop.create_connection(
            lambda: Recorder("client"),
            sock=a,
            ssl=contexts()[1],
            server_hostname="localhost",
            ssl_handshake_timeout=0.02,
        ),
    )
    emit(a.fileno())
    b.close()
    a, b = socket.socketpair()
    await outcome(
        "server",
        loop.connect_accepted_socket(
            lambda: Recorder("server"), a, ssl=contexts()[0], ssl_handshake_timeout=0.02
        ),
    )
    emit(a.fileno())
    b.close()


@scenario
async def writes_after_the_end():
    client, server = await pair()
    client.transport.close()
    for _ in range(7):
        client.transport.write(b"x")
    client.transport.writelines([b"x"])
    await ended(client, server)
    for _ in range(7):
        server.transport.write(b"x")
    server.transport.writelines([])


@scenario
async def what_cannot_be_written():
    client, server = await pair()
    for data in ("text", 5, None, [b"x"]):
        attempt(type(data).__name__, client.transport.write, data)
    attempt("write_eof", client.transport.write_eof)
    emit(client.transport.can_write_eof())
    client.transport.close()
    await ended(client, server)


@scenario
async def limits():
    client, server = await pair()
    transport = client.transport
    emit(transport.get_write_buffer_limits(), transport.get_read_buffer_limits())
    for arguments in ((None, None), (100, None), (None, 100), (5, 3), (0, None), (3, 5), (-1, None), (5, -1)):
        attempt(f"write {arguments}", transport.set_write_buffer_limits, *arguments)
        emit(transport.get_write_buffer_limits())
        attempt(f"read {arguments}", transport.set_read_buffer_limits, *arguments)
        emit(transport.get_read_buffer_limits())
    emit(transport.get_write_buffer_size(), transport.get_read_buffer_size())
    transport.abort()
    await ended(client, server)


@scenario
async def a_high_mark_of_nothing():
    client, server = await pair()
    client.transport.set_write_buffer_limits(high=0)
    client.transport.write(b"abc")
    emit(await server.receive(3))
    client.transport.write(b"def")
    emit(await server.receive(3))
    client.transport.close()
    await ended(client, server)


@scenario
async def pausing():
    client, server = await pair()
    transport = server.transport
    emit(transport.is_reading())
    emit(transport.resume_reading(), transport.is_reading())
    emit(transport.pause_reading(), transport.is_reading())
    emit(transport.pause_reading(), transport.is_reading())
    client.transport.write(b"abc")
    await polled()
    emit(bytes(server.data))
    emit(transport.resume_reading(), transport.is_reading(), bytes(server.data))
    emit(await server.receive(3))
    transport.pause_reading()
    client.transport.write(b"def")
    client.transport.close()
    await polled()
    emit(bytes(server.data), transport.is_closing())
    transport.resume_reading()
    await ended(client, server)


def failing(method):
    class Failing(Recorder):
        pass

    def fail(self, *args):
        emit(self.name, method)
        raise LookupError(f"in {method}")

    setattr(Failing, method, fail)
    return Failing


@scenario
async def data_received_raises():
    watch_exceptions(asyncio.get_running_loop())
    client, server = await pair(server=failing("data_received"))
    client.transport.write(b"abc")
    await ended(client, server)


@scenario
async def eof_received_raises():
    watch_exceptions(asyncio.get_running_loop())
    client, server = await pair(server=failing("eof_received"))
    client.transport.close()
    await ended(client, server)


@scenario
async def flow_control_raises():
    watch_exceptions(asyncio.get_running_loop())
    for method in ("pause_writing", "resume_writing"):
        client, server = await pair(client=failing(method))
        client.transport.set_write_buffer_limits(high=0)
        client.transport.write(b"abc")
        emit(await server.receive(3))
        client.transport.close()
        await ended(client, server)


@scenario
async def data_received_raises_without_a_handler():
    client, server = await pair(server=failing("data_received"))
    client.transport.write(b"abc")
    await ended(client, server)


@scenario
async def connection_made_raises():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    a, b = socket.socketpair()
    server_context, client_context = contexts()
    connecting = asyncio.ensure_future(
        loop.create_connection(
            lambda: Recorder("client"), sock=a, ssl=client_context, server_hostname="localhost"
        )
    )
    accepting = asyncio.ensure_future(
        loop.connect_accepted_socket(lambda: failing("connection_made")("server"), b, ssl=server_context)
    )
    await outcome("server", accepting)
    await outcome("client", connecting)
    await spin(5)


@scenario
async def a_certificate_that_is_refused():
    watch_exceptions(asyncio.get_running_loop())
    await refused()


@scenario(debug=True)
async def a_certificate_that_is_refused_in_debug_mode():
    loop = asyncio.get_running_loop()
    # A handshake takes its time on a machine that is busy.
    loop.slow_callback_duration = 60
    watch_exceptions(loop)
    await refused()


async def refused():
    loop = asyncio.get_running_loop()
    a, b = socket.socketpair()
    server_context, client_context = contexts()
    accepting = asyncio.ensure_future(
        loop.connect_accepted_socket(lambda: Recorder("server"), b, ssl=server_context)
    )
    try:
        await loop.create_connection(
            lambda: Recorder("client"), sock=a, ssl=client_context, server_hostname="example.org"
        )
    except ssl.SSLCertVerificationError as exc:
        emit(exc.verify_code, exc.verify_message, exc.reason, exc.library, str(exc))
    (exc,) = await asyncio.gather(accepting, return_exceptions=True)
    emit(isinstance(exc, OSError))
    await spin(5)


@scenario(debug=True)
async def debug_mode():
    """What is logged of a handshake and of an end; not how long a handshake took."""
    records = []

    class Lines(logging.Handler):
        def emit(self, record):
            message = record.getMessage()
            records.append("took" if " took " in message else message.split(" ", 4)[-1])

    logger = logging.getLogger("asyncio")
    kept = logger.handlers[:]
    logger.handlers[:] = [Lines()]
    try:
        client, server = await pair()
        client.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await ended(client, server)
    finally:
        logger.handlers[:] = kept
    emit(sorted(record for record in records if "SSL" in record or record == "took" or "EOF" in record))


@scenario
async def extra_information():
    client, server = await pair()
    for protocol in (client, server):
        info = protocol.transport.get_extra_info
        emit(type(info("sslcontext")), type(info("ssl_object")), info("compression"), info("nothing", 5))
        emit(
            info("cipher") == info("ssl_object").cipher(),
            info("peercert") == info("ssl_object").getpeercert(),
        )
        emit(info("socket") is not None, info("peername"), info("sockname"))
    client.transport.abort()
    await ended(client, server)
    emit(client.transport.get_extra_info("nothing", 5), client.transport.get_extra_info("cipher") is not None)


@scenario
async def private_state():
    """What libraries and tests look at."""
    client, server = await pair()
    protocol = client.transport._ssl_protocol
    emit(type(protocol), protocol._state.name, protocol._app_state.name)
    emit(protocol._app_transport is client.transport, protocol._app_protocol is client)
    emit(client.transport.get_protocol() is client, client.transport._start_tls_compatible)
    emit(protocol._transport.get_protocol() is protocol, protocol._sslobj is not None)
    emit(protocol._server_hostname, protocol._server_side, server.transport._ssl_protocol._server_side)
    emit(protocol._get_extra_info("compression"), protocol._conn_lost)
    client.transport.close()
    emit(protocol._state.name, protocol._app_state.name)
    await ended(client, server)
    emit(protocol._state.name, protocol._app_state.name, protocol._transport, protocol._app_transport)


@scenario
async def another_protocol():
    client, server = await pair()
    other = Recorder("other")
    attempt("set", server.transport.set_protocol, other)
    emit(server.transport.get_protocol() is other)
    client.transport.write(b"for the other")
    emit(await other.receive(13), bytes(server.data))
    client.transport.close()
    await ended(client, other)


@scenario
async def start_tls_and_the_order_of_calls():
    loop = asyncio.get_running_loop()
    server_context, client_context = contexts()
    a, b = socket.socketpair()
    plain, client = await loop.create_connection(lambda: Recorder("client"), sock=a)
    accepted, server = await loop.connect_accepted_socket(lambda: Recorder("server"), b)
    plain.write(b"plain")
    emit(await server.receive(5))
    upgraded, secured = await asyncio.gather(
        loop.start_tls(plain, client, client_context, server_hostname="localhost"),
        loop.start_tls(accepted, server, server_context, server_side=True),
    )
    emit(type(upgraded), upgraded is plain, client.transport is plain, plain.is_closing())
    upgraded.write(b"secret")
    emit(await server.receive(6))
    secured.close()
    await ended(client, server)
    emit(plain.is_closing(), accepted.is_closing())


@scenario
async def start_tls_fails():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    for hostname in ("example.org", None):
        server_context, client_context = contexts()
        a, b = socket.socketpair()
        plain, client = await loop.create_connection(lambda: Recorder("client"), sock=a)
        if hostname:
            accepting = asyncio.ensure_future(
                loop.connect_accepted_socket(lambda: Recorder("server"), b, ssl=server_context)
            )
        else:
            b.close()
        try:
            await loop.start_tls(plain, client, client_context, server_hostname=hostname or "localhost")
        except OSError as exc:
            emit(isinstance(exc, ssl.SSLError), isinstance(exc, ConnectionError))
        emit(plain.is_closing())
        await spin(5)
        emit(client.lost.done())
        if hostname:
            await asyncio.gather(accepting, return_exceptions=True)
    await spin(5)


@scenario
async def an_unclosed_transport():
    client, server = await pair()
    client.transport.close()
    await ended(client, server)
    protocol = client.transport._ssl_protocol
    transport = type(client.transport)(asyncio.get_running_loop(), protocol)
    emit(transport.is_closing())
    del transport
