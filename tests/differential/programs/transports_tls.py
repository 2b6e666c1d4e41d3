"""TLS: handshake errors, closing, extra information."""

import asyncio
import os
import socket
import ssl
import subprocess
import tempfile

from observe import attempt, emit, outcome, scenario, spin


def certificate(folder):
    key, cert = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return key, cert


# Seconds for the server's side of a connection that failed: it ends by itself, and nothing says when it has.
SERVERS_END = 0.02

_folder = tempfile.TemporaryDirectory()
_key, _cert = certificate(_folder.name)


def contexts():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(_cert, _key)
    client = ssl.create_default_context(cafile=_cert)
    return server, client


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


@scenario
async def echo():
    server_context, client_context = contexts()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
    address = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(*address, ssl=client_context, server_hostname="localhost")
    writer.write(b"secret\n")
    emit(await reader.readline(), writer.can_write_eof())
    emit(writer.get_extra_info("cipher") is not None, writer.get_extra_info("sslcontext") is client_context)
    emit(type(writer.get_extra_info("ssl_object")), writer.get_extra_info("peercert")["subject"])
    attempt("write_eof", writer.write_eof)
    big = b"x" * 500_000 + b"\n"
    reader._limit = 2**20
    writer.write(big)
    emit(await reader.readexactly(len(big)) == big.upper())
    writer.close()
    await writer.wait_closed()
    server.close()


@scenario
async def unknown_certificate():
    server_context, _ = contexts()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
    address = server.sockets[0].getsockname()
    try:
        await asyncio.open_connection(*address, ssl=ssl.create_default_context(), server_hostname="localhost")
    except ssl.SSLCertVerificationError as exc:
        emit(type(exc), exc.verify_message)
    server.close()
    await asyncio.sleep(SERVERS_END)


@scenario
async def wrong_host_name():
    server_context, client_context = contexts()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
    address = server.sockets[0].getsockname()
    try:
        await asyncio.open_connection(*address, ssl=client_context, server_hostname="example.org")
    except ssl.SSLCertVerificationError as exc:
        emit(type(exc), exc.verify_message)
    server.close()
    await asyncio.sleep(SERVERS_END)


@scenario
async def server_that_speaks_no_tls():
    _, client_context = contexts()

    async def plain(reader, writer):
        writer.write(b"220 this is not tls\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    try:
        await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context, server_hostname="localhost"
        )
    except OSError as exc:
        emit(isinstance(exc, ssl.SSLError))
    server.close()


@scenario
async def server_that_closes_during_the_handshake():
    _, client_context = contexts()
    a, b = socket.socketpair()
    b.close()
    await outcome("connect", connects(sock=a, ssl=client_context, server_hostname="localhost"))


async def connects(**kwargs):
    try:
        await asyncio.open_connection(**kwargs)
    except ConnectionError as exc:
        emit(isinstance(exc, (ConnectionResetError, BrokenPipeError)))


@scenario
async def handshake_timeout():
    _, client_context = contexts()
    a, b = socket.socketpair()
    await outcome(
        "connect",
        asyncio.open_connection(
            sock=a, ssl=client_context, server_hostname="localhost", ssl_handshake_timeout=0.02
        ),
    )
    b.close()


@scenario
async def start_tls():
    server_context, client_context = contexts()

    async def upgrade(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        await writer.start_tls(server_context)
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(upgrade, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"plain\n")
    emit(await reader.readline())
    await writer.start_tls(client_context, server_hostname="localhost")
    writer.write(b"secret\n")
    emit(await reader.readline())
    writer.close()
    await writer.wait_closed()
    server.close()


@scenario
async def start_tls_arguments():
    loop = asyncio.get_running_loop()
    a, b = socket.socketpair()
    transport, protocol = await loop.create_connection(asyncio.Protocol, sock=a)
    await outcome("no context", loop.start_tls(transport, protocol, None))
    await outcome("True", loop.start_tls(transport, protocol, True))
    await outcome("wrong transport", loop.start_tls(5, protocol, contexts()[0]))
    transport.close()
    b.close()
    await spin(2)


@scenario
async def abort_and_write_after_close():
    server_context, client_context = contexts()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
    address = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(*address, ssl=client_context, server_hostname="localhost")
    attempt("text", writer.write, "text")
    writer.transport.abort()
    emit(writer.is_closing())
    await outcome("wait_closed", writer.wait_closed())
    emit(await reader.read())
    server.close()
    await asyncio.sleep(SERVERS_END)
