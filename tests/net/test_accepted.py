"""The socket of a connection that a server has accepted: asked for early, late, after the end, or never."""

import gc
import os
import socket

import pytest


@pytest.fixture
def accept(loop, clean_run, recorder):
    """A coroutine function that gives a server's protocol for a new connection, and the plain peer."""
    servers, peers = [], []

    async def accept(factory=recorder):
        made = loop.create_future()

        def protocol():
            protocol = factory()
            made.set_result(protocol)
            return protocol

        server = await loop.create_server(protocol, "127.0.0.1", 0)
        servers.append(server)
        peer = socket.socket()
        peers.append(peer)
        peer.setblocking(False)
        await loop.sock_connect(peer, server.sockets[0].getsockname())
        protocol = await made
        made = None  # the server's factory holds it, and so the protocol
        await protocol.until(lambda protocol: "made" in protocol.calls)
        return protocol, peer

    yield accept
    for server in servers:
        server.close()
    for peer in peers:
        peer.close()


def test_asked_while_it_is_open(clean_run, accept, loop):
    async def main():
        protocol, peer = await accept()
        sock = protocol.transport.get_extra_info("socket")
        assert (sock.family, sock.type, sock.proto) == (
            socket.AF_INET,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
        )
        assert sock.gettimeout() == 0
        assert sock.getpeername() == peer.getsockname()
        assert sock.getsockname() == peer.getpeername()
        assert os.get_inheritable(sock.fileno()) is False
        assert protocol.transport.get_extra_info("socket") is sock
        # It goes on working, through the object that owns the descriptor now.
        protocol.transport.write(b"hello")
        assert await loop.sock_recv(peer, 10) == b"hello"
        await loop.sock_sendall(peer, b"and back")
        await protocol.until(lambda protocol: protocol.data == b"and back")
        protocol.transport.write_eof()
        assert await loop.sock_recv(peer, 10) == b""
        protocol.transport.close()
        await protocol.lost
        assert sock.fileno() == -1

    clean_run(main())


def test_names_alone(clean_run, accept):
    async def main():
        protocol, peer = await accept()
        info = protocol.transport.get_extra_info
        assert info("peername") == peer.getsockname()
        assert info("sockname") == peer.getpeername()
        assert info("no such thing") is None
        assert info("no such thing", 42) == 42
        assert info(name="peername", default=42) == peer.getsockname()
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_asked_for_the_first_time_after_the_end(clean_run, accept):
    async def main():
        protocol, peer = await accept()
        names = peer.getpeername(), peer.getsockname()
        protocol.transport.close()
        await protocol.lost
        info = protocol.transport.get_extra_info
        assert (info("sockname"), info("peername")) == names
        sock = info("socket")
        assert sock.fileno() == -1
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)

    clean_run(main())


def test_the_end_of_a_socket_that_nobody_asked_for(clean_run, accept, loop):
    async def main():
        protocol, peer = await accept()
        protocol.transport.write(b"the last")
        protocol.transport.write_eof()
        assert await loop.sock_recv(peer, 10) == b"the last"
        assert await loop.sock_recv(peer, 10) == b""
        peer.close()
        await protocol.lost

    clean_run(main())


def test_a_transport_that_nobody_closed(asyncio, accept, loop):
    """It warns, and closes its descriptor, asked for or not."""
    fds = set(os.listdir("/proc/self/fd"))

    async def main():
        protocol, _peer = await accept()
        return protocol.transport

    transport = loop.run_until_complete(main())
    number = transport._sock_fd
    assert str(number) not in fds
    loop.close()
    # asyncio warns of the socket as well.
    with pytest.warns(ResourceWarning, match="unclosed") as caught:
        del transport
        gc.collect()
    assert any("unclosed transport" in str(warning.message) for warning in caught)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


@pytest.mark.parametrize("debug", [False, True])
def test_a_factory_that_fails(asyncio, loop, impl, debug):
    if impl == "stock":
        pytest.skip("asyncio leaves the socket to the garbage collector")
    loop.set_debug(debug)
    reported = []
    loop.set_exception_handler(lambda _loop, context: reported.append(context["message"]))

    def fails():
        raise ZeroDivisionError

    async def main():
        server = await loop.create_server(fails, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        # The connection is not left open with nobody to own it.
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await writer.wait_closed()
        server.close()

    loop.run_until_complete(main())
    # asyncio reports it in debug mode only.
    assert reported == (["Error on transport creation for incoming connection"] if debug else [])
