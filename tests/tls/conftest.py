"""Each TLS engine in turn, a loop, and connections to a `Peer` that does TLS by hand.

Every test here runs on both engines of ferrio; on stock (`FERRIO_TEST_IMPL=stock`) there is one. A test that asks for
`version` runs with TLS 1.2 and 1.3, one that asks for `side` has the connection under test as the client and as the
server.
"""

import gc
import os
import socket
import sys

import contexts
import implementation
import pytest
from peer import Peer


def engines():
    """The engines of the implementation under test."""
    if implementation.chosen() == implementation.STOCK:
        return ["stock"]
    protocol = implementation.package(implementation.chosen()).sslproto.SSLProtocol
    return ["portable", "direct"] if hasattr(protocol, "_tls_engine") else ["portable"]


SECONDS = 30
"""Against hangs only."""


@pytest.fixture(params=engines(), autouse=True)
def engine(request, monkeypatch):
    """The engine that is forced. `connect` checks that it is in use."""
    if request.param != "stock":
        monkeypatch.setenv("FERRIO_TLS", request.param)
    return request.param


@pytest.fixture
def left_to_ferrio(engine, monkeypatch):
    """The direct engine is preferred and not forced: for what it does not serve, so that to force it is an error."""
    if engine == "direct":
        monkeypatch.setenv("FERRIO_TLS", "auto")


@pytest.fixture(params=list(contexts.VERSIONS))
def version(request):
    return request.param


@pytest.fixture(params=["client", "server"])
def side(request):
    """Which side the connection under test is on; the `Peer` is on the other one."""
    return request.param


@pytest.fixture
def loop(asyncio, engine):
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def run(asyncio, loop):
    """Run a coroutine to its end; what the exception handler was told is in `run.reported`."""

    async def main(coro):
        try:
            return await asyncio.wait_for(coro, SECONDS)
        finally:
            # What was closed at one end is closed at the other, where that is on the same loop, some turns later.
            for _ in range(20):
                await asyncio.sleep(0)

    def run(coro):
        return loop.run_until_complete(main(coro))

    run.reported = []
    loop.set_exception_handler(lambda _loop, context: run.reported.append(context))
    return run


@pytest.fixture
def recorder(asyncio, noting):
    class Recorder(noting, asyncio.Protocol):
        def data_received(self, data):
            self.took(data)

    return Recorder


@pytest.fixture
def buffered(asyncio, noting):
    """`buffered(size)` is such a class of `BufferedProtocol`s that offer *size* bytes at a time."""

    def buffered(size):
        class Buffered(noting, asyncio.BufferedProtocol):
            def get_buffer(self, sizehint):
                # Not the bytearray itself: stock slices what it is given, and would fill a copy.
                self.offered = memoryview(bytearray(size))
                return self.offered

            def buffer_updated(self, nbytes):
                assert 0 < nbytes <= size
                self.took(self.offered[:nbytes])

        return Buffered

    return buffered


@pytest.fixture
def sockets():
    """`sockets()` gives two connected sockets, the second one non-blocking, over TCP if `tcp` is said."""
    made = []

    def sockets(tcp=False):
        if tcp:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                ours = socket.create_connection(listening.getsockname())
                theirs, _ = listening.accept()
        else:
            ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        made.extend([ours, theirs])
        return ours, theirs

    yield sockets
    for sock in made:
        sock.close()


@pytest.fixture
def begin(loop, recorder, sockets):
    """`begin(side, …)` gives (a coroutine that connects, its `Peer`): nothing has been done about the handshake yet."""

    def begin(
        side="client",
        version=None,
        factory=recorder,
        *,
        ours=None,
        theirs=None,
        tcp=False,
        peer=None,
        **options,
    ):
        sock, other = sockets(tcp)
        peer_options = peer or {}
        if side == "client":
            options.setdefault("server_hostname", "localhost")
            connecting = loop.create_connection(
                factory, sock=sock, ssl=ours or contexts.client_context(version), **options
            )
            theirs = theirs or contexts.server_context(version)
            return connecting, Peer(loop, other, theirs, server_side=True, **peer_options)
        connecting = loop.connect_accepted_socket(
            factory, sock, ssl=ours or contexts.server_context(version), **options
        )
        theirs = theirs or contexts.client_context(version)
        peer_options.setdefault("server_hostname", "localhost")
        return connecting, Peer(loop, other, theirs, server_side=False, **peer_options)

    return begin


@pytest.fixture
def engine_of(engine):
    """`engine_of(transport)` is the engine that serves it."""

    def engine_of(transport):
        return getattr(transport._ssl_protocol, "_tls_engine", engine)

    return engine_of


@pytest.fixture
def connect(asyncio, begin, engine, engine_of):
    """`await connect(side, …)` gives (protocol, `Peer`) after the handshake."""

    async def connect(*args, **options):
        connecting, peer = begin(*args, **options)
        _, (transport, protocol) = await asyncio.gather(peer.handshake(), connecting)
        assert engine_of(transport) == engine
        return protocol, peer

    return connect


@pytest.fixture
def end(asyncio):
    """`await end(protocol, peer)` closes a connection as it should be closed, and checks that it was."""

    async def end(protocol, peer):
        protocol.transport.close()
        assert await peer.read() == b""
        await peer.unwrap()
        assert await protocol.lost is None
        assert await peer.loop.sock_recv(peer.sock, 1) == b""

    return end


@pytest.fixture
def descriptors():
    """`descriptors()` is how many file descriptors this process has."""

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    return descriptors


@pytest.fixture
def unraisable(monkeypatch):
    """What ended up in `sys.unraisablehook`."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))
    yield seen
    gc.collect()
