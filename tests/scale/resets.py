"""Protocols whose peers reset the connection, in every state that a connection can be in.

The kernel delivers what was received before a RST, then the error.  On the loopback a RST has arrived when the call
that sent it returns, so nothing here waits for the network.
"""

import asyncio
import contextlib
import os
import random
import socket
import tempfile

from witness import (
    KINDS,
    Plain,
    is_reset,
    listen,
    pair,
    program,
    receive_all,
    reset,
    sockets,
    turns,
)

BIG = 8_000_000


@program
async def reset_before_accept():
    """Half of what waits in the backlog is dead when accepting begins; the other half gets its answers."""
    loop = asyncio.get_running_loop()
    for kind in KINDS:
        listening = listen()
        clients = [socket.create_connection(listening.getsockname()) for _ in range(60)]
        for number, client in enumerate(clients):
            client.setblocking(False)
            if number % 3:
                client.send(b"%d" % number)
        for client in clients[::2]:
            reset(client)
        made = []

        def factory(made=made, kind=kind):
            made.append(kind())
            return made[-1]

        server = await loop.create_server(factory, sock=listening)
        alive = clients[1::2]
        names = [client.getsockname() for client in alive]
        for client in alive:
            client.send(b"!")
        while sum(b"!" in p.received for p in made) < len(alive):
            await turns(1)
        kept = {p.transport.get_extra_info("peername"): p for p in made if b"!" in p.received}
        assert set(kept) == set(names)
        for number, name in zip(range(1, 60, 2), names, strict=True):
            assert kept[name].received == (b"%d!" % number if number % 3 else b"!")
        for p in made:
            if b"!" not in p.received:
                assert is_reset(await p.until_lost()), p.error
        for client in alive:
            client.close()
        for p in kept.values():
            assert await p.until_lost() is None
        server.close()
        await server.wait_closed()


@program
async def reset_while_idle():
    for kind in KINDS:
        protocol, peer = await pair(kind)
        reset(peer)
        assert is_reset(await protocol.until_lost())
        assert not protocol.eof and protocol.transport.is_closing()


@program
async def reset_before_connection_made():
    """The transport is there, and its protocol has not been told yet."""
    loop = asyncio.get_running_loop()
    for kind in KINDS:
        ours, peer = sockets()
        protocol = kind()
        connecting = loop.create_task(loop.create_connection(lambda p=protocol: p, sock=ours))
        reset(peer)
        await connecting
        assert is_reset(await protocol.until_lost())


@program
async def data_before_the_reset_arrives():
    for kind in KINDS:
        protocol, peer = await pair(kind)
        data = os.urandom(30_000)
        assert peer.send(data) == len(data)
        reset(peer)
        assert is_reset(await protocol.until_lost())
        assert protocol.received == data


@program
async def reset_by_closing_with_unread_data():
    """A peer that closes without having read everything resets, whatever it meant."""
    for kind in KINDS:
        protocol, peer = await pair(kind)
        protocol.transport.write(b"never read")
        await turns()
        peer.close()
        assert is_reset(await protocol.until_lost())


@program
async def reset_while_reading_is_paused():
    """Nobody asks the socket, so nobody is told, until reading goes on."""
    for kind in KINDS:
        protocol, peer = await pair(kind)
        protocol.transport.pause_reading()
        peer.send(b"first")
        reset(peer)
        await turns()
        assert not protocol.lost and not protocol.received
        protocol.transport.resume_reading()
        assert is_reset(await protocol.until_lost())
        assert protocol.received == b"first"


@program
async def reset_with_data_in_the_queue():
    for kind in KINDS:
        protocol, peer = await pair(kind)
        transport = protocol.transport
        transport.write(bytes(BIG))
        assert protocol.paused and transport.get_write_buffer_size() > 0
        reset(peer)
        assert is_reset(await protocol.until_lost())
        assert transport.get_write_buffer_size() == 0
        # What is written to a lost connection goes nowhere, and is no error.
        transport.write(b"x")
        transport.abort()
        transport.close()
        await turns()


@program
async def reset_with_data_in_the_queue_and_reading_paused():
    for kind in KINDS:
        protocol, peer = await pair(kind)
        protocol.transport.pause_reading()
        protocol.transport.write(bytes(BIG))
        reset(peer)
        assert is_reset(await protocol.until_lost())


@program
async def reset_between_close_and_the_last_byte():
    for kind in KINDS:
        protocol, peer = await pair(kind)
        protocol.transport.write(bytes(BIG))
        protocol.transport.close()
        await turns()
        assert not protocol.lost
        reset(peer)
        assert is_reset(await protocol.until_lost())


@program
async def reset_between_write_and_the_end_of_the_turn():
    """The bytes are queued when the RST comes, and have not been offered to the kernel."""
    for kind in KINDS:
        protocol, peer = await pair(kind)
        protocol.transport.write(b"x")
        reset(peer)
        assert is_reset(await protocol.until_lost())


@program
async def reset_and_abort_in_the_same_turn():
    for kind in KINDS:
        for first in ("reset", "abort", "close"):
            protocol, peer = await pair(kind)
            protocol.transport.write(bytes(BIG))
            if first == "reset":
                reset(peer)
                protocol.transport.abort()
                assert await protocol.until_lost() is None
            elif first == "abort":
                protocol.transport.abort()
                reset(peer)
                assert await protocol.until_lost() is None
            else:
                protocol.transport.close()
                reset(peer)
                assert is_reset(await protocol.until_lost())


@program
async def reset_after_write_eof():
    """We have half-closed; the peer answers with a RST."""
    for kind in KINDS:
        for pending in (b"", b"small", bytes(BIG)):
            protocol, peer = await pair(kind)
            if pending:
                protocol.transport.write(pending)
            protocol.transport.write_eof()
            await turns()
            reset(peer)
            assert is_reset(await protocol.until_lost())


@program
async def reset_after_the_peers_eof():
    """The peer has half-closed, we go on writing, then it resets."""
    for kind in KINDS:
        for writing in (False, True):

            class Keeps(kind):
                keep_open = True

            protocol, peer = await pair(Keeps)
            peer.send(b"request")
            peer.shutdown(socket.SHUT_WR)
            await protocol.until(lambda p=protocol: p.eof)
            if writing:
                protocol.transport.write(bytes(BIG))
            reset(peer)
            await turns()
            if not writing:
                # With nothing to read or to send, the socket is not asked.
                assert not protocol.lost
                protocol.transport.write(b"x")
            assert is_reset(await protocol.until_lost())
            assert protocol.received == b"request"


@program
async def reset_inside_of_a_callback():
    """The peer is gone while the protocol handles what came from it, and answers."""

    class Answers(Plain):
        def data_received(self, data):
            reset(self.peer)
            # No more of them: what is written to a lost connection is logged from the fifth time on.
            for _ in range(5):
                self.transport.write(bytes(200_000))
            super().data_received(data)

    class AnswersBuffered(KINDS[1]):
        def buffer_updated(self, nbytes):
            reset(self.peer)
            self.transport.writelines([bytes(100_000)] * 10)
            super().buffer_updated(nbytes)

    for kind in (Answers, AnswersBuffered):
        protocol, peer = await pair(kind)
        protocol.peer = peer
        peer.send(b"x")
        assert is_reset(await protocol.until_lost())
        assert protocol.received == b"x"


@program
async def reset_in_connection_made():
    class Greets(Plain):
        def connection_made(self, transport):
            reset(self.peer)
            transport.write(b"hello")
            super().connection_made(transport)

    ours, peer = sockets()
    protocol = Greets()
    protocol.peer = peer
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: protocol, sock=ours)
    assert is_reset(await protocol.until_lost())


@program
async def the_listener_goes_while_clients_wait_in_its_backlog():
    """Connected as far as the client knows; closing the listener resets it."""
    loop = asyncio.get_running_loop()
    for kind in KINDS:
        listening = listen()
        clients = [(await loop.create_connection(kind, *listening.getsockname()))[1] for _ in range(20)]
        for client in clients[::2]:
            client.transport.write(bytes(BIG if client is clients[0] else 1))
        await turns()
        listening.close()
        for client in clients:
            assert is_reset(await client.until_lost())


@program
async def reset_during_connect():
    """The backlog is full, so the SYN goes unanswered; by its repetition (the kernel's second) nobody listens."""
    loop = asyncio.get_running_loop()
    listening = listen(backlog=0)
    address = listening.getsockname()
    filling = [socket.socket() for _ in range(4)]
    for sock in filling:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
    with socket.socket() as plain:
        plain.setblocking(False)
        attempts = [
            loop.create_task(loop.create_connection(Plain, *address)),
            loop.create_task(asyncio.open_connection(*address)),
            loop.create_task(loop.sock_connect(plain, address)),
        ]
        await turns()
        assert not any(attempt.done() for attempt in attempts)
        listening.close()
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectionRefusedError] * 3, outcomes
    for sock in filling:
        sock.close()


@program
async def connect_cancelled():
    """Given up while the SYN is under way: the socket is closed, and its number is free."""
    loop = asyncio.get_running_loop()
    with listen(backlog=0) as listening:
        filling = [socket.socket() for _ in range(4)]
        for sock in filling:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(listening.getsockname())
        for _ in range(50):
            attempt = loop.create_task(loop.create_connection(Plain, *listening.getsockname()))
            await turns(1)
            assert not attempt.done()
            attempt.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await attempt
            assert attempt.cancelled()
        for sock in filling:
            sock.close()


@program
async def reset_in_the_middle_of_sendfile():
    """Part of the file has gone out.  Both ways of sending it say so, and leave the file where the sending ended."""
    loop = asyncio.get_running_loop()
    size = 20_000_000
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        for fallback in (False, True):
            for on_transport in (True, False):
                file.seek(0)
                if on_transport:
                    protocol, peer = await pair(Plain)
                    method = loop._sendfile_fallback if fallback else loop.sendfile
                    sending = loop.create_task(method(protocol.transport, file, 0, size))
                else:
                    ours, peer = sockets()
                    method = loop._sock_sendfile_fallback if fallback else loop.sock_sendfile
                    sending = loop.create_task(method(ours, file, 0, size))
                got = 0
                while got < 1_000_000:
                    got += len(await loop.sock_recv(peer, 1 << 16))
                reset(peer)
                try:
                    await sending
                except ConnectionError:
                    assert got <= file.tell() < size
                else:
                    raise AssertionError("sendfile() did not notice")
                if on_transport:
                    await protocol.until_lost()
                else:
                    ours.close()


@program
async def reset_under_socket_operations():
    """sock_recv(), sock_sendall() and their like end with the error, and can be told from a clean end."""
    loop = asyncio.get_running_loop()
    buffer = bytearray(10)
    for operation in (
        lambda sock: loop.sock_recv(sock, 10),
        lambda sock: loop.sock_recv_into(sock, buffer),
        lambda sock: loop.sock_recvfrom(sock, 10),
        lambda sock: loop.sock_sendall(sock, bytes(BIG)),
    ):
        ours, peer = sockets()
        waiting = loop.create_task(operation(ours))
        await turns()
        assert not waiting.done()
        reset(peer)
        try:
            await waiting
        except ConnectionError as exc:
            assert is_reset(exc)
        else:
            raise AssertionError("the operation did not notice")
        ours.close()


@program
async def resets_at_random():
    """Three hundred connections at once, each with random doings, each reset at a random point of them."""
    chance = random.Random(4)

    class Echo(Plain):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(data * chance.randrange(1, 40))

        def eof_received(self):
            super().eof_received()
            return chance.random() < 0.5

    async def one(number):
        protocol, peer = await pair(Echo)
        ended = "reset"
        for _ in range(chance.randrange(1, 12)):
            doing = chance.randrange(8)
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                if doing == 0:
                    peer.send(bytes(chance.randrange(1, 60_000)))
                elif doing == 1:
                    peer.recv(chance.randrange(1, 200_000))
                elif doing == 2:
                    protocol.transport.write(bytes(chance.randrange(1, 500_000)))
                elif doing == 3:
                    protocol.transport.pause_reading()
                elif doing == 4:
                    protocol.transport.resume_reading()
                elif doing == 5 and not protocol.lost and not protocol.transport.is_closing():
                    await turns(1)
                elif doing == 6 and chance.random() < 0.2:
                    protocol.transport.close()
                    ended = "closed"
                elif doing == 7 and chance.random() < 0.2:
                    peer.shutdown(socket.SHUT_WR)
                    ended = "half-closed"
        reset(peer)
        if not protocol.lost and not protocol.transport.is_closing():
            protocol.transport.resume_reading()
            protocol.transport.write(b"x")
        error = await protocol.until_lost()
        assert error is None or is_reset(error), error
        assert error is not None or ended != "reset"

    await asyncio.gather(*(one(number) for number in range(300)))


@program
async def resets_in_a_crowd_harm_nobody_else():
    """Every other one of two hundred connections is reset; the rest have their answers, all of them."""
    made = [await pair() for _ in range(200)]
    for number, (protocol, peer) in enumerate(made):
        protocol.transport.write(b"%d" % number * 5000)
        if number % 2:
            reset(peer)
    for number, (protocol, peer) in enumerate(made):
        if number % 2:
            assert is_reset(await protocol.until_lost())
        else:
            protocol.transport.close()
            with peer:
                assert await receive_all(peer) == b"%d" % number * 5000
            assert await protocol.until_lost() is None
