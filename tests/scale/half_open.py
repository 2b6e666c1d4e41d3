"""Peers that are half there: one side closed, or gone without a word."""

import asyncio
import socket

from witness import KINDS, Plain, is_reset, pair, program, receive_all, stream_pair, turns

# Linux' option by which a socket can be taken over by another process: closing one in that state sends nothing.
TCP_REPAIR = 19


def vanish(peer):
    """Close a TCP socket so that the other end does not hear of it, as if the machine had lost its power."""
    try:
        peer.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        print("cannot: to close a connection without a word takes CAP_NET_ADMIN")
        raise SystemExit(0) from None
    peer.close()


@program
async def vanished_peers_are_noticed_by_writing():
    """The kernel answers the next bytes with a RST."""
    for kind in KINDS:
        made = [await pair(kind) for _ in range(50)]
        for _, peer in made:
            vanish(peer)
        await turns()
        assert not any(protocol.lost or protocol.eof for protocol, _ in made)
        for protocol, _ in made:
            protocol.transport.write(b"anybody there?")
        for protocol, _ in made:
            assert is_reset(await protocol.until_lost())


@program
async def vanished_peers_are_noticed_by_keep_alive():
    """With nothing to write the kernel's own probe finds out (its shortest interval is a second)."""
    protocol, peer = await pair()
    sock = protocol.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    reader, writer, other = await stream_pair()
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    vanish(peer)
    vanish(other)
    assert is_reset(await protocol.until_lost())
    try:
        await reader.read()
    except ConnectionResetError:
        writer.close()
    else:
        raise AssertionError("taken for a clean end")


@program
async def vanished_with_data_in_the_queue():
    protocol, peer = await pair()
    protocol.transport.write(bytes(8_000_000))
    vanish(peer)
    protocol.transport.close()
    # What is on the wire is sent again after a timeout of the kernel's, and answered with a RST.
    assert is_reset(await protocol.until_lost())


@program
async def half_closed_peers_get_their_answers():
    """A hundred peers send their request and half-close; each gets a long answer, all of it."""

    class Answers(Plain):
        keep_open = True

        def eof_received(self):
            self.transport.write(bytes(self.received) * 50_000)
            self.transport.write_eof()
            return super().eof_received()

    made = [await pair(Answers) for _ in range(100)]
    for number, (_, peer) in enumerate(made):
        peer.send(b"%d" % number)
        peer.shutdown(socket.SHUT_WR)
    for number, (protocol, peer) in enumerate(made):
        with peer:
            assert await receive_all(peer) == b"%d" % number * 50_000
        assert not protocol.lost
        protocol.transport.close()
        assert await protocol.until_lost() is None


@program
async def a_half_closed_connection_is_not_asked_again():
    """With a level-triggered driver the end of the stream stays readable for ever: it must not keep the loop busy."""
    for kind in KINDS:

        class Keeps(kind):
            keep_open = True

        protocol, peer = await pair(Keeps)
        with peer:
            peer.shutdown(socket.SHUT_WR)
            await protocol.until(lambda p=protocol: p.eof)
            await turns()
            assert "read=idle" in repr(protocol.transport)
            # Both ends are closed for sending now: the kernel says so on every poll in which it is asked.
            protocol.transport.write_eof()
            await turns()
            assert "read=idle write=<idle" in repr(protocol.transport), repr(protocol.transport)
            assert not protocol.lost
        protocol.transport.close()
        assert await protocol.until_lost() is None


@program
async def eof_while_the_queue_is_full():
    """The peer half-closes and reads nothing yet: what is queued is still sent when the protocol says close."""
    for kind in KINDS:
        protocol, peer = await pair(kind)
        data = bytes(range(256)) * 20_000
        protocol.transport.write(data)
        assert protocol.paused
        peer.shutdown(socket.SHUT_WR)
        await protocol.until(lambda p=protocol: p.eof)
        with peer:
            assert await receive_all(peer) == data
        assert await protocol.until_lost() is None


@program
async def writing_on_after_the_peers_end():
    """Streams: the reader is at its end, the writer is not."""
    reader, writer, peer = await stream_pair()
    with peer:
        peer.send(b"question")
        peer.shutdown(socket.SHUT_WR)
        assert await reader.read() == b"question"
        assert reader.at_eof()
        total = 0

        async def answer():
            for _ in range(100):
                writer.write(bytes(100_000))
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        answering = asyncio.ensure_future(answer())
        total = len(await receive_all(peer))
        await answering
    assert total == 10_000_000
