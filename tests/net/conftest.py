"""The implementation under test, a loop of it, and protocols and peers to watch it with."""

import socket
import struct

import implementation
import pytest


@pytest.fixture(scope="session")
def asyncio(impl):
    return implementation.package(impl)


@pytest.fixture
def loop(asyncio):
    loop = asyncio.new_event_loop()
    # Also under `-X dev`: a test of debug mode asks for it.
    loop.set_debug(False)
    yield loop
    loop.close()


@pytest.fixture
def run(loop):
    """Run a coroutine to its end; what the exception handler was told is in `run.reported`."""

    def run(coro):
        return loop.run_until_complete(coro)

    run.reported = []
    loop.set_exception_handler(lambda _loop, context: run.reported.append(context))
    return run


@pytest.fixture
def clean_run(run):
    """The same; what the exception handler was told and the test did not take out fails it."""
    yield run
    assert run.reported == []


@pytest.fixture
def recorder(asyncio):
    """A protocol class whose instances note every call in `calls`."""

    class Recorder(asyncio.Protocol):
        keep_open = False

        def __init__(self):
            self.calls = []
            self.data = b""
            self.changed = asyncio.Event()
            self.lost = asyncio.get_running_loop().create_future()

        def note(self, *call):
            self.calls.append(call if len(call) > 1 else call[0])
            self.changed.set()

        def connection_made(self, transport):
            self.transport = transport
            self.note("made")

        def data_received(self, data):
            self.data += data
            self.note("data", data)

        def eof_received(self):
            self.note("eof")
            return self.keep_open

        def pause_writing(self):
            self.note("pause")

        def resume_writing(self):
            self.note("resume")

        def connection_lost(self, exc):
            self.note("lost", type(exc))
            if not self.lost.done():
                self.lost.set_result(exc)

        async def until(self, condition):
            """Wait until *condition(self)* holds."""
            while not condition(self):
                self.changed.clear()
                await asyncio.wait_for(self.changed.wait(), 20)

    return Recorder


@pytest.fixture
def pair(loop, recorder):
    """A coroutine function that gives a connected (protocol, plain non-blocking peer socket)."""
    peers = []

    async def pair(factory=recorder):
        ours, peer = socket.socketpair()
        peers.append(peer)
        peer.setblocking(False)
        _, protocol = await loop.create_connection(factory, sock=ours)
        return protocol, peer

    yield pair
    for peer in peers:
        peer.close()


@pytest.fixture
def tcp_pair(loop, recorder):
    """The same over TCP on the loopback, where connections can be reset."""
    peers = []

    async def tcp_pair(factory=recorder):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            connecting = loop.create_connection(factory, *listening.getsockname())
            (_, protocol), (peer, _) = await _both(loop, connecting, loop.sock_accept(listening))
        peers.append(peer)
        return protocol, peer

    yield tcp_pair
    for peer in peers:
        peer.close()


@pytest.fixture
def polled(loop):
    """`await polled()` has the loop ask the system once: what could be read before has been handed out after."""

    async def polled():
        seen = loop.create_future()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.add_reader(ours, lambda: seen.done() or seen.set_result(None))
            theirs.send(b"x")
            await seen
            loop.remove_reader(ours)

    return polled


async def _both(loop, first, second):
    first = loop.create_task(first)
    second = await second
    return await first, second


@pytest.fixture
def reset():
    """Close a TCP socket with a RST."""

    def reset(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    return reset
