"""What the options of servers, connections and endpoints do to their sockets, and what is refused."""

import asyncio
import contextlib
import errno
import os
import pathlib
import re
import socket
import sys
import tempfile

from observe import emit, scenario, spin


def option(sock, name, level=socket.SOL_SOCKET):
    return sock.getsockopt(level, getattr(socket, name))


def shown(exc, *ports):
    text = str(exc)
    for port in ports:
        text = text.replace(str(port), "PORT")
    return re.sub(r"<socket\.socket [^>]*>", "<socket>", text)


async def tried(label, coro, *ports, words=True):
    """Await and write what came of it; the words of an exception unless they are a version's own."""
    try:
        result = await coro
    except BaseException as exc:
        emit(label, type(exc), getattr(exc, "errno", None), shown(exc, *ports) if words else "")
        return None
    emit(label, "done")
    return result


async def ended(server):
    server.close()
    await asyncio.wait_for(server.wait_closed(), 10)


class Accepting(asyncio.Protocol):
    """The last connection that was accepted is in `last`."""

    last = None

    def connection_made(self, transport):
        type(self).last = self
        self.transport = transport
        self.lost = asyncio.get_running_loop().create_future()
        self.data = b""

    def data_received(self, data):
        self.data += data

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def connected(connecting):
    """The transport, and the accepted one."""
    Accepting.last = None
    transport, _ = await connecting
    while Accepting.last is None:
        await asyncio.sleep(0)
    return transport, Accepting.last.transport


@scenario
async def options_of_listening_sockets():
    loop = asyncio.get_running_loop()
    for kwargs in (
        {},
        {"reuse_address": False},
        {"reuse_address": True},
        {"reuse_port": True},
        {"reuse_port": True, "reuse_address": False},
        {"reuse_port": False},
    ):
        server = await loop.create_server(Accepting, "127.0.0.1", 0, **kwargs)
        (sock,) = server.sockets
        emit(kwargs, option(sock, "SO_REUSEADDR"), option(sock, "SO_REUSEPORT"), option(sock, "SO_KEEPALIVE"))
        emit(option(sock, "SO_ACCEPTCONN"), sock.gettimeout(), sock.get_inheritable())
        await ended(server)


@scenario(since=(3, 13))
async def keep_alive():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "127.0.0.1", 0, keep_alive=True)
    emit(option(server.sockets[0], "SO_KEEPALIVE"))
    transport, accepted = await connected(
        loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    )
    emit(option(accepted.get_extra_info("socket"), "SO_KEEPALIVE"))
    transport.close()
    await ended(server)


@scenario
async def one_port_for_two_servers():
    loop = asyncio.get_running_loop()
    first = await loop.create_server(Accepting, "127.0.0.1", 0, reuse_port=True)
    port = first.sockets[0].getsockname()[1]
    second = await tried("both", loop.create_server(Accepting, "127.0.0.1", port, reuse_port=True))
    await tried("one", loop.create_server(Accepting, "127.0.0.1", port), port, words=False)
    await ended(second)
    await ended(first)


@scenario
async def hosts():
    loop = asyncio.get_running_loop()
    for host in (
        "127.0.0.1",
        "::1",
        ["127.0.0.1", "::1"],
        ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        None,
        "",
        "localhost",
    ):
        for family in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
            try:
                server = await loop.create_server(Accepting, host, 0, family=family)
            except OSError as exc:
                emit(repr(host)[:20], family.name, type(exc), exc.args[0])
                continue
            found = sorted((sock.family.name, sock.getsockname()[0]) for sock in server.sockets)
            only = [
                option(sock, "IPV6_V6ONLY", socket.IPPROTO_IPV6)
                for sock in server.sockets
                if sock.family == socket.AF_INET6
            ]
            emit(repr(host)[:20], family.name, found, only)
            await ended(server)


@scenario(since=(3, 13))
async def no_hosts():
    loop = asyncio.get_running_loop()
    await tried("none", loop.create_server(Accepting, [], 0))
    await tried("a number", loop.create_server(Accepting, 5, 0), words=False)
    await tried("no port", loop.create_server(Accepting, "127.0.0.1", "no-such-port"))
    # Nobody has this address.
    await tried("not ours", loop.create_server(Accepting, "192.0.2.1", 0))
    await ended(await tried("iterated", loop.create_server(Accepting, iter(["127.0.0.1"]), 0)))


@scenario
async def one_host_that_cannot_be_bound_lets_go_of_the_others():
    loop = asyncio.get_running_loop()
    taken = socket.create_server(("127.0.0.2", 0))
    port = taken.getsockname()[1]
    await tried("both", loop.create_server(Accepting, ["127.0.0.1", "127.0.0.2"], port), port, words=False)
    server = await tried("the first", loop.create_server(Accepting, "127.0.0.1", port))
    await ended(server)
    taken.close()


@scenario
async def inherited_sockets():
    loop = asyncio.get_running_loop()
    for listening in (False, True):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        if listening:
            sock.listen(5)
        server = await loop.create_server(Accepting, sock=sock, backlog=7)
        emit(sock.gettimeout(), option(sock, "SO_ACCEPTCONN"), server.sockets[0].fileno() == sock.fileno())
        transport, accepted = await connected(loop.create_connection(asyncio.Protocol, *sock.getsockname()))
        emit(accepted.get_extra_info("sockname") == sock.getsockname())
        transport.close()
        await ended(server)
        emit(sock.fileno())
    fresh = socket.socket()
    server = await loop.create_server(Accepting, sock=fresh)
    emit(fresh.getsockname()[0])
    await ended(server)


@scenario
async def not_serving_yet():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "127.0.0.1", 0, start_serving=False)
    sock = server.sockets[0]
    emit(server.is_serving(), option(sock, "SO_ACCEPTCONN"))
    address = sock.getsockname()
    try:
        await loop.create_connection(asyncio.Protocol, *address)
    except OSError as exc:
        emit(type(exc))
    await server.start_serving()
    emit(server.is_serving(), option(sock, "SO_ACCEPTCONN"))
    await ended(server)
    emit(server.is_serving(), server.sockets)


@scenario
async def over_ipv6():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, accepted = await connected(loop.create_connection(asyncio.Protocol, "::1", port))
    for end in transport, accepted:
        names = end.get_extra_info("sockname"), end.get_extra_info("peername")
        emit([(len(name), name[0], *name[2:]) for name in names])
        emit(end.get_extra_info("socket").family.name)
    transport.close()
    await tried("family", loop.create_connection(asyncio.Protocol, "::1", port, family=socket.AF_INET), port)
    other = loop.create_connection(asyncio.Protocol, "::1", port, local_addr=("127.0.0.1", 0))
    await tried("other local", other, port, words=sys.version_info >= (3, 13))
    transport, accepted = await connected(
        loop.create_connection(asyncio.Protocol, "::1", port, local_addr=("::1", 0))
    )
    emit(transport.get_extra_info("sockname") == accepted.get_extra_info("peername"))
    transport.close()
    await ended(server)


@scenario
async def how_to_connect():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for kwargs in (
        {"family": socket.AF_INET},
        {"proto": socket.IPPROTO_TCP},
        {"flags": socket.AI_NUMERICHOST},
        {"flags": socket.AI_ADDRCONFIG},
        {"happy_eyeballs_delay": 0.25},
        {"happy_eyeballs_delay": 0},
        {"interleave": 2},
        {"interleave": 0, "happy_eyeballs_delay": 0.1},
        {"local_addr": ("127.0.0.9", 0)},
        {"local_addr": None},
    ):
        for host in ("127.0.0.1", "localhost"):
            connecting = loop.create_connection(asyncio.Protocol, host, port, **kwargs)
            transport = await tried((host, kwargs), connecting, port)
            if transport:
                emit(transport[0].get_extra_info("peername")[0], transport[0].get_extra_info("sockname")[0])
                transport[0].close()
    for kwargs in ({"proto": socket.IPPROTO_UDP}, {"family": 99}, {"flags": 1 << 30}):
        await tried(kwargs, loop.create_connection(asyncio.Protocol, "localhost", port, **kwargs), port)
    for host, service in ((None, port), (b"127.0.0.1", port), ("127.0.0.1", str(port)), ("127.0.0.1", b"no")):
        result = await tried((host, type(service)), loop.create_connection(asyncio.Protocol, host, service))
        if result:
            result[0].close()
    await ended(server)


@scenario
async def errors_of_local_addresses():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for local in (("192.0.2.1", 0), ("no.such.invalid", 0), ("::1", 0)):
        connecting = loop.create_connection(asyncio.Protocol, "127.0.0.1", port, local_addr=local)
        await tried(local, connecting, port, words=sys.version_info >= (3, 13))
    await ended(server)


@scenario
async def given_sockets():
    loop = asyncio.get_running_loop()
    a, b = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=a)
    emit(a.gettimeout(), transport.get_extra_info("socket").family.name)
    emit(transport.get_extra_info("sockname"), transport.get_extra_info("peername"))
    await tried("again", loop.connect_accepted_socket(asyncio.Protocol, b))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await tried("udp", loop.connect_accepted_socket(asyncio.Protocol, udp))
    for method in (loop.create_connection, loop.create_unix_connection, loop.create_server):
        await tried(method.__name__, method(asyncio.Protocol, sock=udp), words=sys.version_info >= (3, 13))
    udp.close()
    inet = socket.socket()
    await tried("not connected", loop.connect_accepted_socket(Accepting, inet))
    transport.close()
    await spin(3)
    a.close()
    b.close()
    inet.close()


@scenario
async def unix_paths():
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        for path in (
            os.path.join(folder, "text"),
            os.fsencode(os.path.join(folder, "bytes")),
            pathlib.Path(folder, "path"),
            f"\0ferrio-differential-{os.getpid()}",
            b"\0ferrio-differential-bytes-%d" % os.getpid(),
        ):
            server = await loop.create_unix_server(Accepting, path)
            name = server.sockets[0].getsockname()
            emit(type(path), type(name), name == os.fsdecode(path) or name == os.fsencode(path))
            transport, accepted = await connected(loop.create_unix_connection(asyncio.Protocol, path))
            emit(transport.get_extra_info("peername") == name, accepted.get_extra_info("sockname") == name)
            emit(transport.get_extra_info("sockname"), accepted.get_extra_info("peername"))
            transport.close()
            await ended(server)
            with contextlib.suppress(ValueError):
                emit(os.path.exists(path))


@scenario
async def unix_files_left_behind():
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        emit(os.path.exists(path))
        server = await loop.create_unix_server(Accepting, path)
        await ended(server)
        missing = os.path.join(folder, "missing", "socket")
        try:
            await loop.create_unix_server(Accepting, missing)
        except OSError as exc:
            emit(type(exc), exc.errno)
        for bad in (5, None, "x" * 200):
            try:
                await loop.create_unix_server(Accepting, bad)
            except (TypeError, OSError, ValueError) as exc:
                emit(type(exc), str(exc))
            try:
                await loop.create_unix_connection(asyncio.Protocol, bad)
            except (TypeError, OSError, ValueError) as exc:
                emit(type(exc), str(exc))


@scenario(since=(3, 13))
async def unix_files_cleaned_up():
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        for cleanup in (True, False):
            path = os.path.join(folder, f"socket-{cleanup}")
            server = await loop.create_unix_server(Accepting, path, cleanup_socket=cleanup)
            await ended(server)
            emit(cleanup, os.path.exists(path))
        path = os.path.join(folder, "of another")
        server = await loop.create_unix_server(Accepting, path)
        os.unlink(path)
        with open(path, "w"):
            pass
        await ended(server)
        emit(os.path.exists(path))


@scenario(since=(3, 12))
async def writing_ends():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "127.0.0.1", 0)
    transport, accepted = await connected(
        loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    )
    emit(transport.can_write_eof())
    transport.writelines([b"one ", bytearray(b"two "), memoryview(b"three ")])
    transport.writelines([])
    transport.writelines(iter([b"four"]))
    transport.write_eof()
    transport.write_eof()
    for method, data in (("write", b"x"), ("writelines", [b"x"]), ("write", b"")):
        try:
            getattr(transport, method)(data)
        except RuntimeError as exc:
            emit(method, str(exc))
        else:
            emit(method, "accepted")
    emit(transport.is_closing())
    far = accepted.get_protocol()
    emit(await asyncio.wait_for(far.lost, 10), far.data)
    transport.close()
    await ended(server)


@scenario(since=(3, 12))
async def wrong_lines():
    a, b = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=a)
    for lines in (["text"], [5], 5, None, [b"x", None]):
        try:
            transport.writelines(lines)
        except TypeError as exc:
            emit(repr(lines), type(exc))
        else:
            emit(repr(lines), b.recv(10) if lines else None)
    transport.abort()
    await spin(3)
    b.close()


@scenario(since=(3, 14))
async def lines_for_a_lost_connection():
    a, b = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=a)
    transport.abort()
    for lines in ([b"late"], [5], [None], [], iter(())):
        emit(transport.writelines(lines))
    await spin(3)
    b.close()


@scenario
async def aborted_servers():
    """abort() and close() of connections that have something to send to somebody who does not read."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "127.0.0.1", 0)
    for method in ("abort", "close"):
        transport, accepted = await connected(
            loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        )
        transport.pause_reading()
        accepted.write(bytes(20_000_000))
        emit(accepted.get_write_buffer_size() > 0)
        getattr(accepted, method)()
        emit(accepted.is_closing())
        far = accepted.get_protocol()
        await spin(5)
        emit(method, far.lost.done(), accepted.get_write_buffer_size() > 0)
        if method == "close":
            accepted.abort()
        emit(await asyncio.wait_for(far.lost, 10))
        transport.abort()
    await ended(server)


@scenario(since=(3, 13))
async def clients_of_a_server():
    loop = asyncio.get_running_loop()
    for method in ("close_clients", "abort_clients"):
        server = await loop.create_server(Accepting, "127.0.0.1", 0)
        ends = [
            await connected(loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname()))
            for _ in range(3)
        ]
        server.close()
        waiting = asyncio.ensure_future(server.wait_closed())
        await spin(3)
        emit(method, waiting.done())
        getattr(server, method)()
        getattr(server, method)()
        await asyncio.wait_for(waiting, 10)
        emit([accepted.get_protocol().lost.result() for _, accepted in ends])
        getattr(server, method)()
        for transport, _ in ends:
            transport.close()


@scenario(since=(3, 12))
async def serve_forever_and_its_ends():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Accepting, "127.0.0.1", 0, start_serving=False)
    serving = asyncio.ensure_future(server.serve_forever())
    await spin(2)
    emit(server.is_serving())
    server.close()
    try:
        await serving
    except asyncio.CancelledError as exc:
        emit("closed", list(exc.args))
    server = await loop.create_server(Accepting, "127.0.0.1", 0)
    transport, accepted = await connected(
        loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    )
    serving = asyncio.ensure_future(server.serve_forever())
    await spin(2)
    serving.cancel("stop")
    await spin(5)
    # Whether it waits for the connection differs among the releases of 3.13 (gh-123720).
    emit(sys.version_info[:2] == (3, 13) or serving.done(), server.is_serving())
    transport.close()
    try:
        await asyncio.wait_for(serving, 10)
    except asyncio.CancelledError as exc:
        emit("cancelled", list(exc.args))


class Endpoint(asyncio.DatagramProtocol):
    pass


@scenario
async def options_of_endpoints():
    loop = asyncio.get_running_loop()
    for kwargs in (
        {"local_addr": ("127.0.0.1", 0)},
        {"local_addr": ("127.0.0.1", 0), "reuse_port": True},
        {"local_addr": ("127.0.0.1", 0), "allow_broadcast": True},
        {"local_addr": ("::1", 0)},
        {"remote_addr": ("127.0.0.1", 9)},
        {"remote_addr": ("127.0.0.1", 9), "local_addr": ("127.0.0.1", 0)},
        {"remote_addr": ("127.0.0.1", 9), "allow_broadcast": True},
        {"remote_addr": ("localhost", 9), "family": socket.AF_INET},
        {"remote_addr": ("127.0.0.1", 9), "local_addr": ("::1", 0)},
        {"family": socket.AF_INET},
        {"family": socket.AF_INET6},
        {"family": socket.AF_UNIX},
        {"local_addr": ("127.0.0.1", 0), "proto": socket.IPPROTO_UDP},
        {"local_addr": ("127.0.0.1", 0), "proto": socket.IPPROTO_TCP},
        {"local_addr": ("127.0.0.1", 0, 0)},
        {"local_addr": "127.0.0.1"},
        {"local_addr": ("192.0.2.1", 0)},
        {"local_addr": "text", "family": socket.AF_UNIX, "remote_addr": 5},
        {"local_addr": f"\0ferrio-endpoint-{os.getpid()}", "family": socket.AF_UNIX},
        {},
    ):
        label = {name: value for name, value in kwargs.items() if name != "local_addr"} | {
            "local": str(kwargs.get("local_addr"))[:12]
        }
        made = await tried(label, loop.create_datagram_endpoint(Endpoint, **kwargs))
        if made is None:
            continue
        transport = made[0]
        sock = transport.get_extra_info("socket")
        emit(option(sock, "SO_REUSEPORT"), option(sock, "SO_BROADCAST"), option(sock, "SO_REUSEADDR"))
        names = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        emit([name[0] if isinstance(name, tuple) else type(name) for name in names])
        emit(sock.gettimeout(), sock.family.name)
        transport.close()
        await spin(2)


@scenario
async def errnos_of_connecting():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for kwargs in ({}, {"happy_eyeballs_delay": 0.01}):
        try:
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", port, **kwargs)
        except OSError as exc:
            emit(type(exc), exc.errno == errno.ECONNREFUSED, shown(exc, port))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "nobody")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        try:
            await loop.create_unix_connection(asyncio.Protocol, path)
        except OSError as exc:
            emit(type(exc), exc.errno == errno.ECONNREFUSED, str(exc).replace(path, "PATH"))
