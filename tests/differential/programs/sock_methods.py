"""loop.sock_recv and its family."""

import asyncio
import os
import socket
import tempfile

from observe import attempt, emit, outcome, scenario, spin


def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    return a, b


@scenario
async def recv_and_sendall():
    loop = asyncio.get_running_loop()
    a, b = pair()
    emit(await loop.sock_sendall(a, b"hello"), await loop.sock_recv(b, 3), await loop.sock_recv(b, 10))
    task = asyncio.create_task(loop.sock_recv(b, 10))
    await spin()
    await loop.sock_sendall(a, b"later")
    emit(await task)
    a.close()
    emit(await loop.sock_recv(b, 10))
    b.close()


@scenario
async def big_sendall():
    loop = asyncio.get_running_loop()
    a, b = pair()
    data = os.urandom(1000) * 3000
    task = asyncio.create_task(loop.sock_sendall(a, data))
    received = bytearray()
    while len(received) < len(data):
        received += await loop.sock_recv(b, 100_000)
    await task
    emit(received == data)
    a.close()
    b.close()


@scenario
async def recv_into():
    loop = asyncio.get_running_loop()
    a, b = pair()
    buffer = bytearray(8)
    await loop.sock_sendall(a, b"12345")
    emit(await loop.sock_recv_into(b, buffer), bytes(buffer))
    await outcome("read-only", loop.sock_recv_into(b, b"bytes"))
    a.close()
    b.close()


@scenario
async def cancelled():
    loop = asyncio.get_running_loop()
    a, b = pair()
    task = asyncio.create_task(loop.sock_recv(b, 10))
    await spin()
    task.cancel("no more")
    await outcome("recv", task)
    await loop.sock_sendall(a, b"kept")
    emit(await loop.sock_recv(b, 10), loop.remove_reader(b))
    a.close()
    b.close()


@scenario
async def accept_and_connect():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        listening.setblocking(False)
        client.setblocking(False)
        accepting = asyncio.create_task(loop.sock_accept(listening))
        await spin()
        emit(await loop.sock_connect(client, listening.getsockname()))
        conn, address = await accepting
        emit(address == client.getsockname(), conn.gettimeout())
        await loop.sock_sendall(conn, b"hi")
        emit(await loop.sock_recv(client, 10))
        conn.close()


@scenario
async def connect_refused():
    loop = asyncio.get_running_loop()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    with socket.socket() as client:
        client.setblocking(False)
        try:
            await loop.sock_connect(client, address)
        except OSError as exc:
            emit(type(exc), str(exc).replace(str(address[1]), "PORT"))


@scenario
async def connect_by_name():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("localhost", listening.getsockname()[1]))
        emit(client.getpeername()[0])


@scenario
async def connect_unix():
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = os.path.join(folder, "socket")
        listening.bind(path)
        listening.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            emit(await loop.sock_connect(client, path))


@scenario
async def datagrams():
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as a, socket.socket(type=socket.SOCK_DGRAM) as b:
        for sock in (a, b):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        emit(await loop.sock_sendto(a, b"datagram", b.getsockname()))
        data, address = await loop.sock_recvfrom(b, 100)
        emit(data, address == a.getsockname())
        await loop.sock_sendto(a, b"another", b.getsockname())
        buffer = bytearray(20)
        count, address = await loop.sock_recvfrom_into(b, buffer)
        emit(count, bytes(buffer[:count]), address == a.getsockname())


@scenario
async def sendfile():
    loop = asyncio.get_running_loop()
    a, b = pair()
    with tempfile.TemporaryFile() as f:
        f.write(b"0123456789" * 100)
        f.seek(0)
        emit(await loop.sock_sendfile(a, f, 10, 20), f.tell(), await loop.sock_recv(b, 100))
        await outcome("text mode", sends_text(loop, a))
        await outcome("negative count", loop.sock_sendfile(a, f, 0, -1))
        await outcome("offset is text", loop.sock_sendfile(a, f, "0"))
    a.close()
    b.close()


async def sends_text(loop, sock):
    with open(__file__) as f:
        await loop.sock_sendfile(sock, f)


@scenario(debug=True)
async def blocking_sockets_in_debug_mode():
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        await outcome("recv", loop.sock_recv(sock, 1))
        await outcome("sendall", loop.sock_sendall(sock, b""))
        await outcome("connect", loop.sock_connect(sock, ("127.0.0.1", 1)))
        await outcome("accept", loop.sock_accept(sock))


@scenario
async def ssl_sockets_are_refused():
    import ssl

    loop = asyncio.get_running_loop()
    a, b = socket.socketpair()
    context = ssl.create_default_context()
    wrapped = context.wrap_socket(a, server_hostname="x", do_handshake_on_connect=False)
    await outcome("recv", loop.sock_recv(wrapped, 1))
    await outcome("sendall", loop.sock_sendall(wrapped, b"x"))
    wrapped.close()
    b.close()


@scenario
async def closed_sockets():
    loop = asyncio.get_running_loop()
    a, b = pair()
    a.close()
    b.close()
    for name, args in (("sock_recv", (1,)), ("sock_sendall", (b"x",))):
        try:
            await getattr(loop, name)(a, *args)
        except (OSError, ValueError) as exc:
            emit(name, type(exc))
    attempt("done", lambda: None)


@scenario
async def names_and_addresses():
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    emit([(family.name, kind.name, address) for family, kind, _, _, address in found])
    emit(await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV))
    try:
        await loop.getaddrinfo("host.invalid", 80)
    except socket.gaierror as exc:
        emit(type(exc))
