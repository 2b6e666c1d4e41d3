"""A process that has run out of descriptors: what it has goes on working, what it asked for fails or waits."""

import asyncio
import contextlib
import errno
import gc
import io
import os
import resource
import signal
import socket
import sys

from witness import Plain, pair, program, receive_all, reported

MESSAGE = "socket.accept() out of system resource"


def in_use():
    """The open descriptors, found without opening one."""
    found = set()
    for number in range(1024):
        with contextlib.suppress(OSError):
            os.fstat(number)
            found.add(number)
    return found


@contextlib.contextmanager
def nearly_none(left=0):
    """Leave room for *left* more descriptors; gives a function that ends it early."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(in_use()) + 10, hard))
    fillers = []
    try:
        while True:
            fillers.append(os.dup(0))
    except OSError as exc:
        assert exc.errno == errno.EMFILE
    for _ in range(left):
        os.close(fillers.pop())

    def end():
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        while fillers:
            os.close(fillers.pop())

    try:
        yield end
    finally:
        end()


async def until(condition):
    """Look again every millisecond: a wait that takes no descriptor."""
    loop = asyncio.get_running_loop()
    while not condition():
        later = loop.create_future()
        loop.call_later(0.001, later.set_result, None)
        await later


def told_of_exhaustion(count):
    """Take out of `reported` what it is expected to hold: so many pauses at least, and nothing else."""
    messages = [context["message"] for context in reported]
    assert len(messages) >= count and set(messages) == {MESSAGE}, reported
    assert all(context["exception"].errno == errno.EMFILE for context in reported)
    assert all("socket" in context for context in reported)
    reported.clear()


class Echo(Plain):
    def _received(self, data):
        super()._received(data)
        self.transport.write(data)


def noted(made):
    """A factory that notes its protocols in a list."""
    return lambda: made.append(Echo()) or made[-1]


def plain_clients(count):
    clients = [socket.socket() for _ in range(count)]
    for client in clients:
        client.setblocking(False)
    return clients


@program
async def accepting_without_descriptors():
    """Thirty clients wait in the backlogs of two servers until there is room for them; all are served."""
    loop = asyncio.get_running_loop()
    for left in (0, 5):
        made = []
        servers = [await loop.create_server(noted(made), "127.0.0.1", 0) for _ in range(2)]
        addresses = [server.sockets[0].getsockname() for server in servers]
        protocol, peer = await pair(Echo)
        clients = plain_clients(30)
        with nearly_none(left) as end:
            for number, client in enumerate(clients):
                await loop.sock_connect(client, addresses[number % 2])
                await loop.sock_sendall(client, b"%d" % number)
            waited = set(addresses)
            await until(lambda waited=waited: {told["socket"].getsockname() for told in reported} == waited)
            assert len(made) == left
            # Connections that are there take no notice.
            await loop.sock_sendall(peer, b"still there?")
            assert await loop.sock_recv(peer, 100) == b"still there?"
            end()
            await until(lambda made=made: len(made) == 30)
        for number, client in enumerate(clients):
            assert await loop.sock_recv(client, 100) == b"%d" % number
            client.close()
        for other in made:
            assert await other.until_lost() is None
        told_of_exhaustion(2)
        peer.close()
        await protocol.until_lost()
        for server in servers:
            server.close()
            await server.wait_closed()
        made.clear()


@program
async def telling_of_it_takes_no_descriptor():
    """With no handler of the program's the log says so: what that needs has to be there by then."""
    loop = asyncio.get_running_loop()
    made, told = [], io.StringIO()
    server = await loop.create_server(noted(made), "127.0.0.1", 0, backlog=1)
    [client] = plain_clients(1)
    handler = loop.get_exception_handler()
    loop.set_exception_handler(None)
    with contextlib.redirect_stderr(told):
        with nearly_none():
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await until(lambda: "Too many open files" in told.getvalue())
        await until(lambda: made)
    loop.set_exception_handler(handler)
    assert MESSAGE in told.getvalue() and "socket: <" in told.getvalue()
    client.close()
    await made[0].until_lost()
    server.close()
    await server.wait_closed()
    made.clear()


@program
async def an_error_that_cannot_be_logged():
    """A client has not imported what a server has: its error is told somehow, and the loop goes on."""
    loop = asyncio.get_running_loop()
    told, unraisable = io.StringIO(), []
    handler, hook = loop.get_exception_handler(), sys.unraisablehook
    loop.set_exception_handler(None)
    sys.unraisablehook = lambda what: unraisable.append(repr(what.exc_value))
    with contextlib.redirect_stderr(told), nearly_none():
        loop.call_soon(int, "no number")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    sys.unraisablehook = hook
    loop.set_exception_handler(handler)
    assert "no number" in told.getvalue() or any("Too many open files" in error for error in unraisable)


@program(beyond="tries to listen on the closed socket")
async def a_server_closed_while_it_pauses():
    """Accepting is not taken up again on a socket that is closed, or that is another's by then."""
    loop = asyncio.get_running_loop()
    made = []
    server = await loop.create_server(noted(made), "127.0.0.1", 0)
    [client] = plain_clients(1)
    with nearly_none():
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await until(lambda: reported)
    told_of_exhaustion(1)
    number = server.sockets[0].fileno()
    server.close()
    await server.wait_closed()
    ours, peer = socket.socketpair()
    assert number in (ours.fileno(), peer.fileno())
    _, protocol = await loop.create_connection(Plain, sock=ours)
    # asyncio's pause is one second; the timer for its end was set before this one.
    later = loop.create_future()
    loop.call_later(1.1, later.set_result, None)
    await later
    peer.send(b"mine")
    await protocol.until(lambda: protocol.received == b"mine")
    assert not made
    for sock in (client, peer):
        sock.close()
    await protocol.until_lost()


@program
async def connecting_without_descriptors():
    """Everything that opens one says so, leaves nothing behind, and works when there are some again."""
    loop = asyncio.get_running_loop()
    made = []
    server = await loop.create_server(noted(made), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    path = f"\0ferrio-{os.getpid()}"
    unix = await loop.create_unix_server(noted(made), path)
    attempts = {
        "create_connection": lambda: loop.create_connection(Plain, *address),
        "happy eyeballs": lambda: loop.create_connection(Plain, *address, happy_eyeballs_delay=0.1),
        "open_connection": lambda: asyncio.open_connection(*address),
        "create_unix_connection": lambda: loop.create_unix_connection(Plain, path),
        "create_unix_server": lambda: loop.create_unix_server(Plain, path + "2"),
        "create_datagram_endpoint": lambda: loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        ),
        "connected datagrams": lambda: loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=address
        ),
    }
    with nearly_none():
        before = in_use()
        for _ in range(20):
            for name, attempt in attempts.items():
                try:
                    await attempt()
                except OSError as exc:
                    assert exc.errno == errno.EMFILE, (name, exc)
                else:
                    raise AssertionError(name)
        assert in_use() == before
    for attempt in attempts.values():
        result = await attempt()
        if isinstance(result, tuple):
            end = result[1] if isinstance(result[1], asyncio.StreamWriter) else result[0]
            end.close()
            if isinstance(end, asyncio.StreamWriter):
                await end.wait_closed()
        else:
            result.close()
            await result.wait_closed()
    await until(lambda: len(made) == 4)
    for protocol in made:
        assert await protocol.until_lost() is None
    for each in (server, unix):
        each.close()
        await each.wait_closed()
    made.clear()


@program(beyond=None if sys.version_info >= (3, 13) else "returns a server without sockets")
async def create_server_without_descriptors():
    """It tries its addresses in turn, and says that none would do."""
    loop = asyncio.get_running_loop()
    with nearly_none():
        before = in_use()
        for _ in range(20):
            try:
                await loop.create_server(Plain, "127.0.0.1", 0)
            except OSError as exc:
                assert "could not bind on any address" in str(exc)
            else:
                raise AssertionError("a server without a socket")
        assert in_use() == before
    server = await loop.create_server(Plain, "127.0.0.1", 0)
    server.close()
    await server.wait_closed()


@program
async def operations_without_descriptors():
    """What needs none is not disturbed: writing, reading, closing, timers, threads that are there."""
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(int)
    made = [await pair() for _ in range(10)]
    with nearly_none():
        for protocol, peer in made:
            protocol.transport.write(bytes(3_000_000))
            protocol.transport.close()
            assert len(await receive_all(peer)) == 3_000_000
            assert await protocol.until_lost() is None
            peer.close()
        assert await asyncio.to_thread(int, "1") == 1
        await asyncio.sleep(0.001)  # a timer
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        [client] = plain_clients(1)
        with nearly_none() as end:
            await loop.sock_connect(client, listening.getsockname())
            try:
                await loop.sock_accept(listening)
            except OSError as exc:
                assert exc.errno == errno.EMFILE
            else:
                raise AssertionError("accepted")
            end()
            conn, _ = await loop.sock_accept(listening)
            conn.close()
        client.close()


@program(beyond="leaves an exception in the destructor of the loop that could not be made")
async def loops_without_descriptors():
    """A loop that cannot be made leaves nothing, however far it came."""
    await asyncio.to_thread(make_loops)


def make_loops():
    for left in range(6):
        with nearly_none(left):
            before = in_use()
            try:
                loop = asyncio.new_event_loop()
            except OSError as exc:
                assert exc.errno == errno.EMFILE
            else:
                loop.close()
                del loop
            gc.collect()
            assert in_use() == before
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1
    loop.close()


@program
async def signal_handlers_without_descriptors():
    """add_signal_handler() fails or works; when there are descriptors, it works."""
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    with nearly_none(), contextlib.suppress(OSError):
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await heard.wait()
    assert loop.remove_signal_handler(signal.SIGUSR1)
