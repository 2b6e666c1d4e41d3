"""Servers: starting, closing, waiting for connections, errors."""

import asyncio
import os
import socket
import sys
import tempfile

from observe import attempt, emit, outcome, scenario, spin, until


class Quiet(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        emit("server connection_lost", exc)


async def connect(server):
    return await asyncio.open_connection(*server.sockets[0].getsockname()[:2])


@scenario
async def lifecycle():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Quiet, "127.0.0.1", 0)
    emit(isinstance(server, asyncio.AbstractServer), server.is_serving(), len(server.sockets))
    emit(type(server.sockets), server.get_loop() is loop)
    server.close()
    emit(server.is_serving(), server.sockets)
    await server.wait_closed()
    attempt("close again", server.close)
    await outcome("wait_closed again", server.wait_closed())


@scenario(
    differs="`start_serving()` of a closed server raises a `TypeError` that says so. asyncio's says "
    "that `NoneType` is not iterable.",
    expected=[
        ["event", False, 1],
        ["event", True],
        [
            "event",
            "closed",
            "raised",
            {"exception": "TypeError", "message": "server <Server sockets=()> is closed"},
        ],
    ],
)
async def start_serving_later():
    server = await asyncio.get_running_loop().create_server(Quiet, "127.0.0.1", 0, start_serving=False)
    emit(server.is_serving(), len(server.sockets))
    await server.start_serving()
    await server.start_serving()
    emit(server.is_serving())
    server.close()
    await outcome("closed", server.start_serving())
    await server.wait_closed()


@scenario
async def serve_forever():
    server = await asyncio.get_running_loop().create_server(Quiet, "127.0.0.1", 0)
    task = asyncio.create_task(server.serve_forever())
    await spin(2)
    await outcome("twice", server.serve_forever())
    task.cancel()
    await outcome("serve_forever", task)
    emit(server.is_serving(), server.sockets)
    await outcome("closed", server.serve_forever())


@scenario
async def context_manager():
    async with await asyncio.get_running_loop().create_server(Quiet, "127.0.0.1", 0) as server:
        emit(server.is_serving())
    emit(server.is_serving())


@scenario
async def close_leaves_connections_alone():
    accepted = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        accepted.set_result(None)
        data = await reader.readline()
        writer.write(data.upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    reader, writer = await connect(server)
    await accepted
    server.close()
    writer.write(b"still here\n")
    emit(await reader.read())
    writer.close()
    await writer.wait_closed()
    await server.wait_closed()


@scenario(since=(3, 12))
async def wait_closed_waits_for_connections():
    started, go = asyncio.Event(), asyncio.Event()

    async def handler(reader, writer):
        started.set()
        await go.wait()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    reader, writer = await connect(server)
    await started.wait()
    server.close()
    waiting = asyncio.create_task(server.wait_closed())
    await spin(3)
    emit(waiting.done())
    go.set()
    await waiting
    emit(await reader.read())
    writer.close()
    await writer.wait_closed()


@scenario(since=(3, 13))
async def close_and_abort_clients():
    for method in ("close_clients", "abort_clients"):
        protocols = []

        def factory(protocols=protocols):
            protocols.append(Quiet())
            return protocols[-1]

        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        reader, writer = await connect(server)
        await until(lambda protocols=protocols: protocols)
        getattr(server, method)()
        emit(method, await reader.read(), protocols[0].transport.is_closing())
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


@scenario
async def arguments():
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    await outcome("nothing", loop.create_server(Quiet))
    await outcome("host and sock", loop.create_server(Quiet, "127.0.0.1", 0, sock=sock))
    await outcome("ssl is True", loop.create_server(Quiet, "127.0.0.1", 0, ssl=True))
    await outcome("ssl timeout", loop.create_server(Quiet, "127.0.0.1", 0, ssl_handshake_timeout=1))
    sock.close()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        await loop.create_server(Quiet, sock=udp)
    except ValueError as exc:
        emit(str(exc).split(" got ")[0].split(": <")[0])
    udp.close()


@scenario(
    differs="`create_server()` reports an address in use in the words of 3.13, on every Python.",
    differs_in=[(3, 11), (3, 12)],
    expected=[
        [
            "event",
            "class OSError",
            98,
            "[Errno 98] error while attempting to bind on address ('127.0.0.1', PORT): [errno 98] address already in use",  # noqa: E501
        ],
    ],
)
async def address_in_use():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Quiet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        await loop.create_server(Quiet, "127.0.0.1", port)
    except OSError as exc:
        emit(type(exc), exc.errno, str(exc).replace(str(port), "PORT"))
    server.close()
    await server.wait_closed()


@scenario
async def handler_fails():
    async def handler(reader, writer):
        raise ValueError("in the handler")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: emit(context["message"], context.get("exception")))
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    reader, writer = await connect(server)
    await outcome("read", asyncio.wait_for(reader.read(), 0.2 if sys.version_info < (3, 12) else 5))
    writer.close()
    await outcome("wait_closed", writer.wait_closed())
    server.close()


@scenario
async def plain_function_as_handler():
    def handler(reader, writer):
        writer.write(b"plain")
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    reader, writer = await connect(server)
    emit(await reader.read())
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@scenario
async def several_hosts_and_ports():
    server = await asyncio.get_running_loop().create_server(Quiet, ["127.0.0.1", "127.0.0.2"], 0)
    emit(sorted(sock.getsockname()[0] for sock in server.sockets))
    server.close()
    await server.wait_closed()


@scenario
async def unix():
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        lost = loop.create_future()

        class Lost(Quiet):
            def connection_lost(self, exc):
                super().connection_lost(exc)
                lost.set_result(None)

        server = await loop.create_unix_server(Lost, path)
        emit(os.path.exists(path), server.sockets[0].family.name)
        transport, _ = await loop.create_unix_connection(asyncio.Protocol, path)
        transport.close()
        await lost
        server.close()
        await server.wait_closed()
        emit(os.path.exists(path) == (sys.version_info < (3, 13)))
        try:
            await loop.create_unix_connection(asyncio.Protocol, path)
        except OSError as exc:
            emit(type(exc))
        try:
            await loop.create_unix_connection(asyncio.Protocol, path + "-missing")
        except OSError as exc:
            emit(type(exc))


@scenario
async def unix_arguments():
    loop = asyncio.get_running_loop()
    await outcome("nothing", loop.create_unix_server(Quiet))
    await outcome("connection: nothing", loop.create_unix_connection(Quiet))
    a, b = socket.socketpair()
    await outcome("path and sock", loop.create_unix_connection(Quiet, "/x", sock=a))
    await outcome("server path and sock", loop.create_unix_server(Quiet, "/x", sock=a))
    inet = socket.socket()
    for make in (loop.create_unix_connection, loop.create_unix_server):
        try:
            await make(Quiet, sock=inet)
        except ValueError as exc:
            emit(str(exc).split(" got ")[0].split(": <")[0].split(", got")[0])
    for sock in (a, b, inet):
        sock.close()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        with open(path, "w"):
            pass
        try:
            await loop.create_unix_server(Quiet, path)
        except OSError as exc:
            emit(type(exc), exc.errno, str(exc).replace(path, "PATH"))


@scenario
async def connect_accepted_socket():
    loop = asyncio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listening.getsockname())
    accepted, _ = listening.accept()
    transport, protocol = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
    emit(isinstance(transport, asyncio.Transport))
    transport.write(b"hello")
    # Ours sends at the end of the turn.
    await spin()
    client.settimeout(5)
    emit(client.recv(10))
    transport.close()
    await spin(2)
    listening.close()
    client.close()


@scenario
async def written_data_goes_out_at_once():
    loop = asyncio.get_running_loop()
    a, b = socket.socketpair()
    b.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=a)
    transport.write(b"at once")
    attempt("same turn", b.recv, 10)
    await spin(2)
    attempt("later", b.recv, 10)
    transport.close()
    b.close()
