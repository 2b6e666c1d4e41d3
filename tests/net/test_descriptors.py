"""Descriptor numbers are used again at once; an event for a former owner must reach nobody."""

import os
import socket

import pytest


def test_a_stale_event_never_reaches_a_new_connection(run, loop, asyncio, recorder):
    """Two connections are readable in the same poll. The first one's callback closes the second and opens a third
    on the same descriptor number: the event of the second must not make the third read, nor end it."""

    async def main():
        opened = []

        class Victim(recorder):
            pass

        class Killer(recorder):
            def data_received(self, data):
                super().data_received(data)
                if opened:
                    return
                number = victim.transport.get_extra_info("socket").fileno()
                victim.transport.abort()
                # asyncio's own way to close ends the turn first, so the socket is closed by hand.
                victim.transport._sock.close()
                ours, peer = socket.socketpair()
                if ours.fileno() != number:
                    os.dup2(ours.fileno(), number)
                    ours.close()
                    ours = socket.socket(fileno=number)
                opened.append((ours, peer))

        first, first_peer = socket.socketpair()
        second, second_peer = socket.socketpair()
        with first_peer, second_peer:
            _, killer = await loop.create_connection(Killer, sock=first)
            _, victim = await loop.create_connection(Victim, sock=second)
            first_peer.send(b"x")
            second_peer.send(b"for the victim only")
            await killer.until(lambda p: p.data)
            ours, peer = opened[0]
            _, third = await loop.create_connection(recorder, sock=ours)
            with peer:
                assert third.calls == ["made"]
                peer.send(b"mine")
                await third.until(lambda p: p.data)
                assert third.data == b"mine"
                for protocol in (killer, third):
                    protocol.transport.abort()
                    await protocol.lost

    run(main())


def test_add_reader_on_a_transports_descriptor_is_refused(run, loop, pair):
    async def main():
        protocol, _ = await pair()
        fd = protocol.transport.get_extra_info("socket").fileno()
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(fd, print)
        for method in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(fd)
        protocol.transport.abort()
        await protocol.lost
        assert loop.remove_reader(fd) is False

    run(main())


def test_a_watched_descriptor_that_was_closed_and_used_again(run, loop):
    """Closing without remove_reader() is a mistake, but the next owner of the number must still be heard."""

    async def main():
        ours, peer = socket.socketpair()
        loop.add_reader(ours, print)
        number = ours.fileno()
        peer.close()
        ours.close()
        ours, peer = socket.socketpair()
        with ours, peer:
            assert number in (ours.fileno(), peer.fileno())
            heard = loop.create_future()
            watched, other = (ours, peer) if ours.fileno() == number else (peer, ours)
            loop.add_reader(watched, lambda: heard.done() or heard.set_result(None))
            other.send(b"x")
            await heard
            assert loop.remove_reader(watched)

    run(main())


def test_two_receivers_on_one_socket_both_end(run, loop, asyncio):
    async def main():
        ours, peer = socket.socketpair()
        with ours, peer:
            ours.setblocking(False)
            first = asyncio.ensure_future(loop.sock_recv(ours, 1))
            second = asyncio.ensure_future(loop.sock_recv(ours, 1))
            await asyncio.sleep(0)
            peer.send(b"ab")
            assert sorted(await asyncio.gather(first, second)) == [b"a", b"b"]

    run(main())


def test_cancelled_sock_recv_leaves_nothing_behind(run, loop, asyncio):
    async def main():
        ours, peer = socket.socketpair()
        with ours, peer:
            ours.setblocking(False)
            receiving = asyncio.ensure_future(loop.sock_recv(ours, 1))
            await asyncio.sleep(0)
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
            assert loop.remove_reader(ours) is False
            peer.send(b"x")
            await asyncio.sleep(0)
            assert ours.recv(1) == b"x"

    run(main())


def test_sock_sendall_over_many_turns(run, loop, asyncio):
    async def main():
        ours, peer = socket.socketpair()
        with ours, peer:
            ours.setblocking(False)
            peer.setblocking(False)
            data = os.urandom(3_000_000)
            sending = asyncio.ensure_future(loop.sock_sendall(ours, memoryview(data)))
            received = bytearray()
            while len(received) < len(data):
                received += await loop.sock_recv(peer, 1 << 20)
            assert received == data
            assert await sending is None

    run(main())


def test_a_closed_loop_has_no_descriptors(asyncio):
    """A program may keep closed loops, for as long as the process lives."""

    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    loops = [asyncio.new_event_loop() for _ in range(10)]
    assert count() > before
    for loop in loops:
        loop.close()
    assert count() == before
