"""Random scripts of writes, pauses, cut and changed records, closes and cancellations (`tls_script.py`).

`FERRIO_EXAMPLES=100000` plays as many new ones, for hours; tests/README.md says more.
"""

import contextlib
import socket
import ssl

import contexts
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from peer import Peer
from random_scripts import examples
from tls_script import SCRIPTS, play
from tls_seeds import SEEDS

# The engine that the fixture forces is the same for all of a test's scripts.
ONE_ENGINE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]

SECONDS = 10


def run(asyncio, coro):
    async def main():
        return await asyncio.wait_for(coro, SECONDS)

    return asyncio.run(main())


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_seeds(asyncio, seed):
    run(asyncio, play(asyncio, SEEDS[seed]))


@settings(max_examples=examples(60), suppress_health_check=ONE_ENGINE)
@given(SCRIPTS)
def test_connections(asyncio, script):
    run(asyncio, play(asyncio, script))


FAULTS = ["none", "end of TCP", "change a byte", "plain text", "cancel"]


@settings(max_examples=examples(60), suppress_health_check=ONE_ENGINE)
@given(
    side=st.sampled_from(["client", "server"]),
    version=st.sampled_from(["1.2", "1.3"]),
    pieces=st.lists(st.one_of(st.integers(1, 20), st.integers(1, 2000)), max_size=12),
    fault=st.sampled_from(FAULTS),
    at=st.integers(0, 3000),
)
@example("server", "1.3", [1] * 6, "none", 0)
@example("client", "1.3", [5, 100], "change a byte", 7)
@example("client", "1.2", [], "end of TCP", 1000)
@example("server", "1.2", [50], "cancel", 6)
def test_handshakes(asyncio, side, version, pieces, fault, at):
    """The peer's flights arrive in pieces; after *at* bytes or turns something goes wrong.

    The connection is made, or the exception is one of `ssl`'s or of the network's; nothing of it is left.
    """
    run(asyncio, handshake(asyncio, side, version, list(pieces), fault, at))


async def handshake(asyncio, side, version, pieces, fault, at):
    loop = asyncio.get_running_loop()
    reported = []
    loop.set_exception_handler(lambda loop, context: reported.append(context))
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    client, server = contexts.client_context(version), contexts.server_context(version)
    if side == "client":
        peer = Peer(loop, theirs, server, server_side=True)
        connecting = loop.create_connection(
            asyncio.Protocol, sock=ours, ssl=client, server_hostname="localhost"
        )
    else:
        peer = Peer(loop, theirs, client, server_side=False, server_hostname="localhost")
        connecting = loop.connect_accepted_socket(asyncio.Protocol, ours, ssl=server)
    sent = 0
    failed = False

    async def flush():
        nonlocal sent, failed
        while peer.outgoing.pending and not failed:
            size = pieces.pop(0) if pieces else 1 << 16
            piece = bytearray(peer.outgoing.read(size))
            place = at - sent
            if fault in ("end of TCP", "change a byte", "plain text") and 0 <= place < len(piece):
                if fault == "change a byte":
                    piece[place] ^= 0x10
                elif fault == "plain text":
                    piece[place:] = b"250 go ahead\r\n"
                else:
                    failed = True
                    del piece[place:]
            sent += len(piece)
            await loop.sock_sendall(theirs, piece)
            if failed:
                theirs.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0)

    peer.flush = flush
    connecting = asyncio.ensure_future(connecting)
    handshaking = asyncio.ensure_future(peer.handshake())
    if fault == "cancel":
        for _ in range(at % 40):
            await asyncio.sleep(0)
        connecting.cancel()
    # A byte that was changed in a length has the other end wait for what never comes: then the peer gives up.
    await asyncio.wait([connecting, handshaking], timeout=0.2 if fault in FAULTS[1:4] else None)
    if not connecting.done():
        theirs.shutdown(socket.SHUT_WR)
    (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
    if isinstance(outcome, BaseException):
        assert fault != "none"
        assert isinstance(outcome, (ssl.SSLError, ConnectionError, asyncio.CancelledError)), outcome
    else:
        outcome[0].abort()
    handshaking.cancel()
    await asyncio.gather(handshaking, return_exceptions=True)
    # Cancelled when it had just connected, it closes as a connection does, and waits for the peer's end.
    with contextlib.suppress(OSError):
        theirs.shutdown(socket.SHUT_WR)
    await peer.drain()
    theirs.close()
    if ours.fileno() != -1:
        # Cancelled before it began: the socket is still the caller's.
        assert fault == "cancel" and at % 40 == 0
        ours.close()
    assert reported == []
