"""Cancellation of create_connection(ssl=) and start_tls() in each of their turns: nothing is left or reported."""

import gc
import socket

import contexts
import pytest
from peer import Peer


async def turns(asyncio, count):
    for _ in range(count):
        await asyncio.sleep(0)


MOST_TURNS = 60
"""More than a handshake takes; the tests check that it was done by then."""


async def in_each_turn(asyncio, attempt):
    """Call `attempt(turn)` for each number of turns after which to cancel, until it says that it came too late."""
    for turn in range(MOST_TURNS):
        if await attempt(turn):
            assert turn > 2
            return
    raise AssertionError(f"not connected after {MOST_TURNS} turns")


@pytest.mark.parametrize("how", ["sock", "address"])
def test_create_connection(clean_run, asyncio, loop, sockets, recorder, descriptors, version, how):
    server_context, client_context = contexts.server_context(version), contexts.client_context(version)
    served = []

    def serve():
        served.append(recorder())
        return served[-1]

    async def main():
        server = await loop.create_server(serve, "127.0.0.1", 0, ssl=server_context)
        address = server.sockets[0].getsockname()
        before = descriptors()

        async def attempt(turn):
            made = []

            def factory():
                made.append(recorder())
                return made[-1]

            where = {"host": address[0], "port": address[1]}
            if how == "sock":
                where = {"sock": socket.create_connection(address)}
                where["sock"].setblocking(False)
            connecting = asyncio.ensure_future(
                loop.create_connection(factory, **where, ssl=client_context, server_hostname="localhost")
            )
            await turns(asyncio, turn)
            late = connecting.done()
            connecting.cancel()
            try:
                transport, protocol = await connecting
            except asyncio.CancelledError:
                if how == "sock" and turn == 0:
                    # It has not been begun, so the socket is still the caller's.
                    where["sock"].close()
            else:
                transport.abort()
                await protocol.lost
            for protocol in made:
                # Connected or not, its transport is closed: it hears of both ends or of neither.
                if protocol.calls:
                    await protocol.lost
            while descriptors() > before:
                await asyncio.sleep(0.001)  # the server's side ends by itself
            return late

        await in_each_turn(asyncio, attempt)
        server.close()

    clean_run(main())


@pytest.mark.parametrize("upgraded", ["client", "server"])
def test_start_tls(run, asyncio, loop, sockets, recorder, descriptors, version, upgraded):
    async def main():
        before = descriptors()

        async def attempt(turn):
            sock, other = sockets()
            plain, protocol = await loop.create_connection(recorder, sock=sock)
            if upgraded == "client":
                peer = Peer(loop, other, contexts.server_context(version), server_side=True)
                context, options = contexts.client_context(version), {"server_hostname": "localhost"}
            else:
                theirs = contexts.client_context(version)
                peer = Peer(loop, other, theirs, server_side=False, server_hostname="localhost")
                context, options = contexts.server_context(version), {"server_side": True}
            handshaking = asyncio.ensure_future(peer.handshake())
            upgrading = asyncio.ensure_future(loop.start_tls(plain, protocol, context, **options))
            await turns(asyncio, turn)
            late = upgrading.done()
            upgrading.cancel()
            try:
                transport = await upgrading
            except asyncio.CancelledError:
                # Where it has not been begun, the connection is as it was.
                assert plain.is_closing() == (turn > 0)
                plain.abort()
            else:
                transport.abort()
                await protocol.lost
            await peer.drain()
            handshaking.cancel()
            await asyncio.gather(handshaking, return_exceptions=True)
            peer.close()
            assert sock.fileno() == -1
            assert descriptors() == before
            return late

        await in_each_turn(asyncio, attempt)

    run(main())
    # As asyncio has it, a protocol that was told of its connection may or may not be told of its end, but no more.
    assert run.reported == []


def test_streams(clean_run, asyncio, loop, descriptors, version):
    """open_connection() and StreamWriter.start_tls() over the network, cancelled by a time-out of their own."""

    async def main():
        async def handler(reader, writer):
            # It never begins its handshake.
            await asyncio.gather(reader.read(), return_exceptions=True)
            writer.close()

        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        before = descriptors()
        context = contexts.client_context(version)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await asyncio.open_connection(*address, ssl=context, server_hostname="localhost")
        reader, writer = await asyncio.open_connection(*address)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await writer.start_tls(context, server_hostname="localhost")
        assert writer.is_closing()
        writer.close()
        del reader, writer
        while descriptors() > before:
            await asyncio.sleep(0.001)  # the server's side ends by itself
        server.close()
        gc.collect()

    clean_run(main())


def test_the_loop_ends_during_handshakes(asyncio, sockets, recorder, version):
    """asyncio.run() cancels what is left; a handshake that had no end leaves nothing that warns."""
    sock, other = sockets()

    async def main():
        loop = asyncio.get_running_loop()
        connecting = asyncio.ensure_future(
            loop.create_connection(
                recorder, sock=sock, ssl=contexts.client_context(version), server_hostname="localhost"
            )
        )
        await turns(asyncio, 5)
        assert not connecting.done()
        return connecting

    connecting = asyncio.run(main())
    assert connecting.cancelled()
    assert other.recv(1) == b"\x16"
    gc.collect()
