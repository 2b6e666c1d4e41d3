"""Sockets that somebody closes behind the back of the transport, endpoint or server that uses them.

The number may be anybody's then, also of somebody who knows of no loop: a file, a database driver's connection.
"""

import asyncio
import contextlib
import errno
import socket
import tempfile

from witness import (
    KINDS,
    Plain,
    listen,
    move,
    on_number,
    pair,
    program,
    reported,
    sockets,
    turns,
)


@program
async def sockets_closed_by_hand():
    """Somebody closes a transport's socket: its number may be anybody's by then, also of who knows of no loop."""
    loop = asyncio.get_running_loop()
    for kind in KINDS:
        for doing in ("write", "writelines", "flush", "large", "sendfile", "read"):
            protocol, peer = await pair(kind)
            transport = protocol.transport
            if doing == "flush":
                transport.write(b"secret")
            number = transport._sock.fileno()
            if doing == "read":
                peer.send(b"x")
            transport._sock.close()
            ours, other = on_number(number)
            other.send(b"private")
            if doing == "write":
                transport.write(b"secret")
            elif doing == "writelines":
                transport.writelines([b"secret", b"secret"])
            elif doing == "large":
                transport.write(b"secret" * 100_000)
            elif doing == "sendfile":
                with tempfile.TemporaryFile() as file:
                    file.write(b"secret")
                    file.flush()
                    with contextlib.suppress(OSError):
                        await loop.sendfile(transport, file)
            await turns(2)
            try:
                assert other.recv(100) == b"", "somebody else has our data"
            except BlockingIOError:
                assert ours.recv(100) == b"private", "we have somebody else's data"
            assert not protocol.received
            transport.abort()
            error = await protocol.until_lost()
            assert error is None or error.errno == errno.EBADF, error
            for sock in (peer, ours, other):
                sock.close()


@program(beyond="queues a datagram and then looks for it in the queue that the error has emptied")
async def endpoints_closed_by_hand():
    """The same for datagrams."""
    loop = asyncio.get_running_loop()
    for batch in (1, 5):
        received = []

        class Endpoint(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr, received=received):
                received.append(data)

            def error_received(self, exc):
                assert exc.errno == errno.EBADF

        ours, peer = socket.socketpair(type=socket.SOCK_DGRAM)
        ours.setblocking(False)
        peer.setblocking(False)
        transport, _ = await loop.create_datagram_endpoint(Endpoint, sock=ours)
        number = ours.fileno()
        ours.close()
        fresh, other = socket.socketpair(type=socket.SOCK_DGRAM)
        if other.fileno() == number:
            fresh, other = other, fresh
        fresh = move(fresh, number)
        fresh.setblocking(False)
        other.setblocking(False)
        other.send(b"private")
        for _ in range(batch):
            transport.sendto(b"secret")
        await turns(2)
        try:
            assert not other.recv(100), "somebody else has our data"
        except BlockingIOError:
            assert fresh.recv(100) == b"private", "we have somebody else's data"
        assert not received
        transport.abort()
        await turns(2)
        for sock in (peer, fresh, other):
            sock.close()


@program
async def listeners_closed_by_hand():
    """Another server's connection is not accepted by the one that had the number before."""
    loop = asyncio.get_running_loop()
    wrong = []
    listening = listen()
    number = listening.fileno()
    server = await loop.create_server(lambda: wrong.append(Plain()) or wrong[-1], sock=listening)
    (a, a_peer) = sockets()
    opened = []

    def killer():
        loop.remove_reader(a)
        listening.close()
        opened.append(move(listen(), number))
        opened.append(socket.create_connection(opened[0].getsockname()))

    loop.add_reader(a, killer)
    a_peer.send(b"x")
    client = socket.create_connection(listening.getsockname())
    await turns(3)
    assert not wrong
    conn, _ = opened[0].accept()
    for sock in (a, a_peer, client, conn, *opened):
        sock.close()
    # What the old one's event came to is an error of its own.
    assert all(context["exception"].errno == errno.EBADF for context in reported)
    reported.clear()
    with contextlib.suppress(ValueError):  # stock's, for the descriptor of a closed socket
        server.close()
