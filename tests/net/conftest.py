"""A loop of the implementation under test, and protocols and peers to watch it with."""

import socket

import pytest


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
def recorder(asyncio, noting):
    """A protocol class whose instances note every call in `calls`, `data_received()` with its data."""

    class Recorder(noting, asyncio.Protocol):
        def data_received(self, data):
            self.data += data
            self.note("data", data)

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


async def _both(loop, first, second):
    first = loop.create_task(first)
    second = await second
    return await first, second
