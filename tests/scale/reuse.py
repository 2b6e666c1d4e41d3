"""Descriptor numbers are used again at once: what was in flight for a number's former owner must not meet the next.

The kernel gives the lowest free number, so a socket made right after one was closed has its number; each program
makes sure of that.  Where several descriptors are ready in the same poll, the first one's callback closes another and
opens the next under its number, while the event for the former owner is still to be served.
"""

import asyncio
import contextlib
import socket

from witness import (
    KINDS,
    Plain,
    is_reset,
    listen,
    move,
    on_number,
    pair,
    program,
    sockets,
    stream_pair,
    turns,
)


@program(beyond="waits for ever once a watched descriptor was closed without remove_reader()")
async def readers():
    """`add_reader()`: the number changes hands in the callback before, with and without `remove_reader()`."""
    loop = asyncio.get_running_loop()
    for removes in (True, False):
        for order in (True, False):
            (a, a_peer), (b, b_peer) = sockets(), sockets()
            called, heard, opened = [], loop.create_future(), []

            def killer(own, other, opened=opened, removes=removes):
                loop.remove_reader(own)
                if opened:
                    return
                number = other.fileno()
                if removes:
                    loop.remove_reader(other)
                other.close()
                opened.extend(on_number(number))
                # The new owner has nothing to read: to be called means to have another's event.
                loop.add_reader(opened[0], fresh)

            def fresh(called=called, heard=heard, opened=opened):
                try:
                    called.append(opened[0].recv(10))
                except BlockingIOError:
                    called.append("nothing to read")
                if not heard.done():
                    heard.set_result(None)

            pairs = [(a, b), (b, a)] if order else [(b, a), (a, b)]
            for own, other in pairs:
                loop.add_reader(own, killer, own, other)
            call_a, call_b = (a_peer, b_peer) if order else (b_peer, a_peer)
            call_a.send(b"x")
            call_b.send(b"x")
            await turns(3)
            assert called == [], called
            opened[1].send(b"mine")
            await heard
            assert called == [b"mine"]
            assert loop.remove_reader(opened[0])
            for sock in (a, b, a_peer, b_peer, *opened):
                sock.close()


@program(beyond="waits for ever once a watched descriptor was closed without remove_writer()")
async def writers():
    """`add_writer()`: the new owner's socket is full, so its callback may not be called."""
    loop = asyncio.get_running_loop()
    for removes in (True, False):
        (a, a_peer), (b, b_peer) = sockets(), sockets()
        called, opened = [], []

        def killer(own, other, called=called, opened=opened, removes=removes):
            loop.remove_writer(own)
            if opened:
                return
            number = other.fileno()
            if removes:
                loop.remove_writer(other)
            other.close()
            opened.extend(on_number(number))
            with contextlib.suppress(BlockingIOError):
                while True:
                    opened[0].send(bytes(100_000))
            loop.add_writer(opened[0], called.append, "fresh")

        loop.add_writer(a, killer, a, b)
        loop.add_writer(b, killer, b, a)
        await turns(3)
        assert called == []
        with contextlib.suppress(BlockingIOError):
            while opened[1].recv(1 << 20):
                continue
        await turns(2)
        assert "fresh" in called
        assert loop.remove_writer(opened[0])
        for sock in (a, b, a_peer, b_peer, *opened):
            sock.close()


@program
async def a_reader_replaced_while_its_event_waits():
    """The one that was replaced is cancelled; the new one hears of the next poll, not of the event before it."""
    loop = asyncio.get_running_loop()
    (a, a_peer), (b, b_peer) = sockets(), sockets()
    calls = []

    def second(sock):
        calls.append(sock.recv(10))

    def first(own, other):
        loop.remove_reader(own)
        loop.remove_reader(other)
        # Somebody else reads what the event was for, and asks anew.
        own.recv(10)
        other.recv(10)
        loop.add_reader(own, second, own)
        loop.add_reader(other, second, other)

    loop.add_reader(a, first, a, b)
    loop.add_reader(b, first, b, a)
    a_peer.send(b"x")
    b_peer.send(b"x")
    await turns(3)
    assert calls == []
    b_peer.send(b"y")
    await turns(2)
    assert calls == [b"y"]
    for sock in (a, b):
        loop.remove_reader(sock)
    for sock in (a, b, a_peer, b_peer):
        sock.close()


@program
async def a_reader_added_over_another_while_its_event_waits():
    """The same without `remove_reader()`."""
    loop = asyncio.get_running_loop()
    (a, a_peer), (b, b_peer) = sockets(), sockets()
    calls = []

    def first(own, other):
        own.recv(10)
        other.recv(10)
        for sock in (own, other):
            loop.add_reader(sock, lambda sock=sock: calls.append(sock.recv(10)))

    loop.add_reader(a, first, a, b)
    loop.add_reader(b, first, b, a)
    a_peer.send(b"x")
    b_peer.send(b"x")
    await turns(3)
    assert calls == []
    a_peer.send(b"y")
    await turns(2)
    assert calls == [b"y"]
    for sock in (a, b):
        loop.remove_reader(sock)
    for sock in (a, b, a_peer, b_peer):
        sock.close()


@program
async def transports():
    """A hundred rounds of two connections with data in the same poll; the first ends the second by hand."""
    loop = asyncio.get_running_loop()
    for kind in KINDS:
        for how in ("abort", "close", "by hand"):
            for _ in range(10):
                opened = []

                class Killer(kind):
                    def _received(self, data, opened=opened, how=how):
                        super()._received(data)
                        if opened:
                            return
                        other = self.other.transport
                        number = other.get_extra_info("socket").fileno()
                        if how != "by hand":
                            getattr(other, how)()
                        # The transport would close it a turn later, when its number is nobody's any more.
                        other._sock.close()
                        opened.extend(on_number(number))
                        opened.append(loop.create_task(connect(opened[0])))

                async def connect(sock, kind=kind):
                    return (await loop.create_connection(kind, sock=sock))[1]

                (one, one_peer), (two, two_peer) = [await pair(Killer) for _ in range(2)]
                one.other, two.other = two, one
                one_peer.send(b"for one only")
                two_peer.send(b"for two only")
                await turns(2)
                _, peer, connecting = opened
                killed = two if one.received else one
                third = await connecting
                await turns(2)
                assert not third.received and not third.eof and not third.lost
                # Also when all that the old one does at its end is done.
                error = await killed.until_lost()
                assert (error is not None) == (how == "by hand"), error
                number = third.transport.get_extra_info("socket").fileno()
                try:
                    loop.add_reader(number, print)
                except RuntimeError as exc:
                    assert "is used by transport" in str(exc)
                else:
                    raise AssertionError("the end of the old transport made the number free")
                peer.send(b"mine")
                await third.until(lambda p=third: p.received)
                assert third.received == b"mine"
                third.transport.write(b"back")
                await turns(1)
                assert peer.recv(100) == b"back"
                third.transport.abort()
                for protocol in (one, two, third):
                    protocol.transport.abort()
                    await protocol.until_lost()
                for sock in (one_peer, two_peer, peer):
                    sock.close()


@program
async def streams():
    """The same for a reader and a writer: what the old connection had received is not the new one's."""
    reader, writer, peer = await stream_pair()
    number = writer.get_extra_info("socket").fileno()
    writer.write(bytes(8_000_000))
    peer.send(b"for the first only")
    writer.transport.abort()
    writer.transport._sock.close()
    ours, other = on_number(number)
    new_reader, new_writer = await asyncio.open_connection(sock=ours)
    await turns()
    other.send(b"mine\n")
    assert await new_reader.readline() == b"mine\n"
    new_writer.write(b"back")
    await new_writer.drain()
    await turns(1)
    assert other.recv(100) == b"back"
    new_writer.close()
    await new_writer.wait_closed()
    peer.close()
    other.close()
    writer.close()


@program
async def servers():
    """A server is closed in the callback before its own event; another listens on the number."""
    loop = asyncio.get_running_loop()
    for _ in range(10):
        wrong, right, opened = [], [], []
        listening = listen()
        number = listening.fileno()
        server = await loop.create_server(
            lambda wrong=wrong: wrong.append(Plain()) or wrong[-1], sock=listening
        )
        (a, a_peer) = sockets()

        def killer(a=a, server=server, opened=opened, number=number):
            loop.remove_reader(a)
            server.close()
            opened.append(move(listen(), number))

        loop.add_reader(a, killer)
        a_peer.send(b"x")
        client = socket.create_connection(listening.getsockname())
        await turns(2)
        new = await loop.create_server(lambda right=right: right.append(Plain()) or right[-1], sock=opened[0])
        await turns(2)
        assert not right, "the connection was made to another server"
        with socket.create_connection(opened[0].getsockname()):
            while not right:
                await turns(1)
        await right[0].until_lost()
        for protocol in wrong:
            protocol.transport.abort()
            await protocol.until_lost()
        new.close()
        await new.wait_closed()
        for sock in (a, a_peer, client):
            sock.close()


@program
async def datagram_endpoints():
    """The first endpoint's datagram makes it end the second and open a third on the number."""
    loop = asyncio.get_running_loop()

    class Endpoint(asyncio.DatagramProtocol):
        def __init__(self):
            self.received, self.lost = [], loop.create_future()

        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            self.received.append(data)
            if self.other is not None and not opened:
                number = self.other.transport.get_extra_info("socket").fileno()
                self.other.transport.abort()
                self.other.transport._sock.close()
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                assert sock.fileno() == number
                sock.bind(("127.0.0.1", 0))
                sock.setblocking(False)
                opened.append(sock)

        def connection_lost(self, exc):
            self.lost.set_result(None)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(20):
            opened = []
            ends = [
                (await loop.create_datagram_endpoint(Endpoint, local_addr=("127.0.0.1", 0)))[1]
                for _ in range(2)
            ]
            ends[0].other, ends[1].other = ends[1], ends[0]
            for end_ in ends:
                sender.sendto(b"x", end_.transport.get_extra_info("sockname"))
            await turns(2)
            _, third = await loop.create_datagram_endpoint(Endpoint, sock=opened[0])
            third.other = None
            await turns(2)
            assert third.received == []
            sender.sendto(b"mine", third.transport.get_extra_info("sockname"))
            while not third.received:
                await turns(1)
            assert third.received == [b"mine"]
            for end_ in (*ends, third):
                end_.transport.abort()
                await end_.lost


@program
async def connections_at_random():
    """Two thousand connections on a few dozen numbers: each hears its own name and nobody else's."""
    loop = asyncio.get_running_loop()
    server_side = []

    class Names(Plain):
        def connection_made(self, transport):
            super().connection_made(transport)
            server_side.append(self)

        def _received(self, data):
            super()._received(data)
            if data.endswith(b"\n"):
                self.transport.write(bytes(self.received))
                if len(self.received) % 3 == 0:
                    self.transport.close()
                elif len(self.received) % 3 == 1:
                    self.transport.write_eof()

    server = await loop.create_server(Names, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    async def client(number):
        for step in range(50):
            name = b"%d of %d\n" % (step, number)
            _, protocol = await loop.create_connection(Plain, *address)
            protocol.transport.write(name)
            await protocol.until(lambda p=protocol: p.received.endswith(b"\n") or p.lost)
            assert protocol.received == name
            protocol.transport.close()
            await protocol.until_lost()

    await asyncio.gather(*(client(number) for number in range(40)))
    server.close()
    for protocol in server_side:
        error = await protocol.until_lost()
        assert error is None or is_reset(error)
    server_side.clear()
