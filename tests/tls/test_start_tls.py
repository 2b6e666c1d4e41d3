"""loop.start_tls() and StreamWriter.start_tls(): a connection that begins in plain text."""

import os
import socket
import ssl
import sys

import contexts
import pytest
from oracle import facts
from peer import Peer, records


@pytest.fixture
def begin_plain(loop, recorder, sockets):
    """`await begin_plain(side, …)` gives (transport, protocol, `Peer`) before any TLS."""

    async def begin_plain(
        side="client", version=None, factory=recorder, *, theirs=None, peer=None, tcp=False
    ):
        sock, other = sockets(tcp)
        transport, protocol = await loop.create_connection(factory, sock=sock)
        if side == "client":
            theirs = theirs or contexts.server_context(version)
            return transport, protocol, Peer(loop, other, theirs, server_side=True, **(peer or {}))
        theirs = theirs or contexts.client_context(version)
        return transport, protocol, Peer(loop, other, theirs, server_side=False, server_hostname="localhost")

    return begin_plain


@pytest.fixture
def upgrade(loop, version):
    """`upgrade(side, transport, protocol, …)` is loop.start_tls() with a context of the tests."""

    def upgrade(side, transport, protocol, **options):
        if side == "client":
            options = {"server_hostname": "localhost"} | options
            return loop.start_tls(transport, protocol, contexts.client_context(version), **options)
        return loop.start_tls(
            transport, protocol, contexts.server_context(version), server_side=True, **options
        )

    return upgrade


def test_plain_text_first(clean_run, asyncio, begin_plain, upgrade, end, engine_of, engine, side, version):
    async def main():
        plain, protocol, peer = await begin_plain(side, version)
        plain.write(b"STARTTLS\r\n")
        assert await peer.loop.sock_recv(peer.sock, 100) == b"STARTTLS\r\n"
        await peer.send(b"go ahead\r\n")
        assert await protocol.receive(10) == b"go ahead\r\n"
        transport, _ = await asyncio.gather(upgrade(side, plain, protocol), peer.handshake())
        assert engine_of(transport) == engine
        assert transport is not plain and transport.get_protocol() is protocol
        assert plain.get_protocol() is not protocol
        assert isinstance(transport, asyncio.Transport)
        # The protocol is not told: it has been told of its connection.
        assert protocol.calls == ["made", "data"] and protocol.transport is plain
        assert transport.get_extra_info("ssl_object").version() == f"TLSv{version}"
        assert transport.get_extra_info("socket") is plain.get_extra_info("socket")
        protocol.transport = transport
        transport.write(b"secret")
        assert await peer.read_exactly(6) == b"secret"
        await peer.write(b"as well")
        assert await protocol.receive(7) == b"as well"
        await end(protocol, peer)
        assert protocol.calls[-2:] == ["eof", ("lost", type(None))]
        assert plain.is_closing()

    clean_run(main())


def test_what_is_still_to_be_written_goes_first(run, asyncio, begin_plain, upgrade, side, version):
    """Plain text that the kernel has not taken yet leaves before the handshake does."""
    plain_text = bytes(range(256)) * 10_000

    async def main():
        plain, protocol, peer = await begin_plain(side, version)
        plain.write(plain_text)
        assert plain.get_write_buffer_size()
        upgrading = asyncio.ensure_future(upgrade(side, plain, protocol))
        received = bytearray()
        while len(received) < len(plain_text):
            received += await peer.loop.sock_recv(peer.sock, len(plain_text) - len(received))
        assert received == plain_text
        transport, _ = await asyncio.gather(upgrading, peer.handshake())
        transport.write(b"secret")
        assert await peer.read_exactly(6) == b"secret"
        transport.abort()
        await protocol.lost

    run(main())
    # asyncio's SSLProtocol is told to resume what it was never told to pause, and asserts that it was.
    assert {context["message"] for context in run.reported} <= {"protocol.resume_writing() failed"}


def test_the_peers_hello_is_there_already(clean_run, asyncio, begin_plain, upgrade, polled, version):
    """What has come since the plain text was read is the handshake's, and not the protocol's."""
    side = "server"

    async def main():
        plain, protocol, peer = await begin_plain(side, version)
        plain.pause_reading()
        handshaking = asyncio.ensure_future(peer.handshake())
        await polled()
        transport, _ = await asyncio.gather(upgrade(side, plain, protocol), handshaking)
        assert protocol.data == b""
        # start_tls() has resumed what was paused.
        assert plain.is_reading() and transport.is_reading()
        await peer.write(b"abc")
        assert await protocol.receive(3) == b"abc"
        transport.abort()
        await protocol.lost

    clean_run(main())


def test_a_protocol_with_a_buffer(clean_run, asyncio, begin_plain, upgrade, buffered, side, version):
    async def main():
        plain, protocol, peer = await begin_plain(side, version, buffered(10))
        await peer.send(b"plain text, plain text")
        assert await protocol.receive(22) == b"plain text, plain text"
        transport, _ = await asyncio.gather(upgrade(side, plain, protocol), peer.handshake())
        await peer.write(b"x" * 100_000)
        assert await protocol.receive(100_000) == b"x" * 100_000
        transport.abort()
        await protocol.lost

    clean_run(main())


def test_a_handshake_that_fails(clean_run, asyncio, loop, begin_plain, version):
    """The exception is raised, and the connection closes."""

    async def main():
        plain, protocol, peer = await begin_plain("client", version)
        handshaking = asyncio.ensure_future(peer.handshake())
        with pytest.raises(ssl.SSLCertVerificationError) as raised:
            await loop.start_tls(
                plain, protocol, contexts.client_context(version), server_hostname="example.org"
            )
        assert raised.value.verify_code == 62
        await asyncio.gather(handshaking, return_exceptions=True)
        assert plain.is_closing()
        await peer.drain()
        exc = await protocol.lost
        assert facts(exc) == facts(raised.value)

    clean_run(main())


def test_a_handshake_that_takes_too_long(
    clean_run, asyncio, begin_plain, upgrade, descriptors, side, version
):
    async def main():
        plain, protocol, peer = await begin_plain(side, version)
        with pytest.raises(ConnectionAbortedError, match=r"taking longer than 0\.02 seconds"):
            await upgrade(side, plain, protocol, ssl_handshake_timeout=0.02)
        await peer.drain()
        assert plain.is_closing()
        # asyncio does not tell the protocol in this case; the caller has the exception.
        assert protocol.calls in (["made"], ["made", ("lost", ConnectionAbortedError)])

    clean_run(main())


def test_the_peer_leaves_during_the_handshake(clean_run, asyncio, begin_plain, upgrade, side, version):
    async def main():
        plain, protocol, peer = await begin_plain(side, version)
        peer.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            await upgrade(side, plain, protocol)
        await peer.drain()
        assert plain.is_closing()
        assert type(await protocol.lost) is ConnectionResetError

    clean_run(main())


def test_a_transport_that_is_closing(run, asyncio, begin_plain, upgrade, side, version):
    """start_tls() comes to an end, and so does the connection; asyncio may return the transport all the same."""

    async def main():
        plain, protocol, peer = await begin_plain(side, version)
        plain.close()
        try:
            transport = await upgrade(side, plain, protocol, ssl_handshake_timeout=0.05)
        except (OSError, RuntimeError):
            pass
        else:
            assert transport is None or transport.is_closing()
        await protocol.lost
        await peer.drain()

    run(main())


# ----------------------------------------------------------------------------------------------- streams

BUFFERED_HELLO = (
    "this stock loses what its StreamReader has when start_tls() is called; 3.15 keeps it (cpython #142352)"
)


def keeps_the_readers_buffer(impl):
    # In 3.14 stock moved the code to base_events.
    import asyncio.base_events
    import inspect

    return impl != "stock" or "_stream_reader" in inspect.getsource(
        asyncio.base_events.BaseEventLoop.start_tls
    )


@pytest.fixture
def served(asyncio, sockets, loop):
    """`await served()` gives the reader and writer of an accepted connection, and the peer's socket."""

    async def served():
        sock, other = sockets()
        reader = asyncio.StreamReader()
        accepted = loop.create_future()

        async def handler(reader, writer):
            accepted.set_result(writer)

        protocol = asyncio.StreamReaderProtocol(reader, handler)
        await loop.connect_accepted_socket(lambda: protocol, sock)
        return reader, await accepted, other

    return served


def test_streams_of_a_client(clean_run, asyncio, sockets, loop, version):
    async def main():
        sock, other = sockets()
        reader, writer = await asyncio.open_connection(sock=sock)
        peer = Peer(loop, other, contexts.server_context(version), server_side=True)
        writer.write(b"STARTTLS\n")
        assert await loop.sock_recv(other, 100) == b"STARTTLS\n"
        await peer.send(b"go ahead\n")
        assert await reader.readline() == b"go ahead\n"
        plain = writer.transport
        await asyncio.gather(
            writer.start_tls(contexts.client_context(version), server_hostname="localhost"), peer.handshake()
        )
        assert writer.transport is not plain
        assert writer.get_extra_info("ssl_object") is not None
        writer.write(b"secret\n")
        await writer.drain()
        assert await peer.read_exactly(7) == b"secret\n"
        await peer.write(b"as well\n")
        assert await reader.readline() == b"as well\n"
        writer.close()
        assert await peer.read() == b""
        await peer.unwrap()
        await writer.wait_closed()
        assert await reader.read() == b""

    clean_run(main())


def test_streams_of_a_server(clean_run, asyncio, served, loop, version):
    async def main():
        reader, writer, other = await served()
        peer = Peer(
            loop, other, contexts.client_context(version), server_side=False, server_hostname="localhost"
        )
        await peer.send(b"STARTTLS\n")
        assert await reader.readline() == b"STARTTLS\n"
        await asyncio.gather(writer.start_tls(contexts.server_context(version)), peer.handshake())
        await peer.write(b"secret\n")
        assert await reader.readline() == b"secret\n"
        writer.write(b"as well\n")
        assert await peer.read_exactly(8) == b"as well\n"
        writer.close()
        assert await peer.read() == b""
        await peer.unwrap()
        await writer.wait_closed()

    clean_run(main())


@pytest.mark.parametrize("share", ["all", "a part", "a byte"])
def test_the_clients_hello_in_the_readers_buffer(
    clean_run, asyncio, impl, served, loop, polled, version, share
):
    """A client that does not wait for the answer: its first flight comes with the plain text."""
    if not keeps_the_readers_buffer(impl):
        pytest.skip(BUFFERED_HELLO)

    async def main():
        reader, writer, other = await served()
        peer = Peer(
            loop, other, contexts.client_context(version), server_side=False, server_hostname="localhost"
        )
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        hello = peer.outgoing.read()
        now = {"all": len(hello), "a part": 100, "a byte": 1}[share]
        await peer.send(b"STARTTLS\n" + hello[:now])
        assert await reader.readline() == b"STARTTLS\n"
        await polled()
        upgrading = asyncio.ensure_future(writer.start_tls(contexts.server_context(version)))
        await polled()
        if hello[now:]:
            await peer.send(hello[now:])
        await asyncio.gather(upgrading, peer.handshake())
        await peer.write(b"secret\n")
        assert await reader.readline() == b"secret\n"
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    clean_run(main())


def test_plain_text_is_never_delivered_as_decrypted(clean_run, asyncio, impl, served, loop, polled, version):
    """A command that somebody slips in behind STARTTLS, before the handshake, must not be read after it."""
    if not keeps_the_readers_buffer(impl):
        pytest.skip(BUFFERED_HELLO)

    async def main():
        reader, writer, other = await served()
        peer = Peer(
            loop, other, contexts.client_context(version), server_side=False, server_hostname="localhost"
        )
        await peer.send(b"STARTTLS\nDELETE everything\n")
        assert await reader.readline() == b"STARTTLS\n"
        await polled()
        handshaking = asyncio.ensure_future(peer.handshake())
        # The server takes it for the beginning of the handshake, and refuses.
        with pytest.raises(ssl.SSLError):
            await writer.start_tls(contexts.server_context(version))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await reader.read()
        await asyncio.gather(handshaking, return_exceptions=True)

    clean_run(main())


def test_a_servers_words_in_the_clients_buffer(clean_run, asyncio, loop, sockets, polled, version):
    """What a client's reader has when it begins TLS was said in plain text, and is read as such; what asyncio
    delivers before and after is told apart only by the program."""

    async def main():
        sock, other = sockets()
        reader, writer = await asyncio.open_connection(sock=sock)
        peer = Peer(loop, other, contexts.server_context(version), server_side=True)
        await peer.send(b"go ahead\n")
        assert await reader.readline() == b"go ahead\n"
        await asyncio.gather(
            writer.start_tls(contexts.client_context(version), server_hostname="localhost"), peer.handshake()
        )
        assert reader._buffer == b""
        await peer.write(b"secret\n")
        assert await reader.readline() == b"secret\n"
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    clean_run(main())


# ----------------------------------------------------------------------------------------------- TLS in TLS


@pytest.mark.parametrize("levels", [2, 3])
def test_tls_in_tls(clean_run, asyncio, loop, connect, recorder, sockets, version, levels):
    """A proxy's TLS with a server's inside: data, limits, extra information and the end at each level."""
    data = bytes(range(256)) * 2000

    async def main():
        sock, other = sockets()
        accepting = loop.connect_accepted_socket(recorder, other)
        (client, ours), (server, theirs) = await asyncio.gather(
            loop.create_connection(recorder, sock=sock), accepting
        )
        of_levels = []
        for _ in range(levels):
            context = contexts.client_context(version)
            of_levels.append(context)
            client, server = await asyncio.gather(
                loop.start_tls(client, ours, context, server_hostname="localhost"),
                loop.start_tls(server, theirs, contexts.server_context(version), server_side=True),
            )
            client.write(b"ping")
            assert await theirs.receive(4) == b"ping"
            server.write(b"pong")
            assert await ours.receive(4) == b"pong"
        assert client.get_extra_info("sslcontext") is of_levels[-1]
        assert client.get_extra_info("socket").fileno() == sock.fileno()
        client.write(data)
        server.writelines([data, b"!"])
        assert await theirs.receive(len(data)) == data
        assert await ours.receive(len(data) + 1) == data + b"!"
        server.write(b"last words")
        server.close()
        assert await ours.lost is None
        assert await theirs.lost is None
        assert ours.data == b"last words"
        assert ours.calls[-2:] == ["eof", ("lost", type(None))]

    clean_run(main())


def test_tls_in_tls_with_a_peer_that_never_answers(
    clean_run, asyncio, impl, loop, recorder, sockets, version
):
    if impl == "stock" and sys.version_info < (3, 13):
        pytest.skip("stock 3.11 and 3.12.1 pass one argument too many to SSLProtocol._abort() here, and hang")

    async def main():
        sock, other = sockets()
        peer = Peer(loop, other, contexts.server_context(version), server_side=True)
        plain, protocol = await loop.create_connection(recorder, sock=sock)
        context = contexts.client_context(version)
        outer, _ = await asyncio.gather(
            loop.start_tls(plain, protocol, context, server_hostname="localhost", ssl_shutdown_timeout=0.05),
            peer.handshake(),
        )
        with pytest.raises(ConnectionAbortedError):
            await loop.start_tls(
                outer, protocol, context, server_hostname="localhost", ssl_handshake_timeout=0.02
            )
        await peer.drain()
        assert outer.is_closing() and plain.is_closing()
        # The inner handshake went through the outer TLS.
        records(peer.on_the_wire)

    clean_run(main())


# ----------------------------------------------------------------------------------------------- arguments


def test_arguments(run, asyncio, loop, begin_plain, version):
    context = contexts.client_context(version)

    async def main():
        plain, protocol, peer = await begin_plain("client", version)
        for wrong in (None, True, 5, "context", ssl.SSLContext):
            with pytest.raises(TypeError) as raised:
                await loop.start_tls(plain, protocol, wrong)
            assert (
                str(raised.value)
                == f"sslcontext is expected to be an instance of ssl.SSLContext, got {wrong!r}"
            )
        for wrong in (None, 5, asyncio.Transport()):
            with pytest.raises(TypeError) as raised:
                await loop.start_tls(wrong, protocol, context)
            assert str(raised.value) == f"transport {wrong!r} is not supported by start_tls()"
        for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout"):
            for wrong in (0, -1):
                with pytest.raises(ValueError) as raised:
                    await loop.start_tls(
                        plain, protocol, context, server_hostname="localhost", **{name: wrong}
                    )
                assert str(raised.value) == f"{name} should be a positive number, got {wrong}"
        with pytest.raises(ssl.SSLError, match="Cannot create a client socket with a PROTOCOL_TLS_SERVER"):
            await loop.start_tls(
                plain, protocol, contexts.server_context(version), server_hostname="localhost"
            )
        # None of these has touched the connection.
        assert plain.get_protocol() is protocol and plain.is_reading()
        await peer.send(b"still plain")
        assert await protocol.receive(11) == b"still plain"
        plain.abort()
        await protocol.lost

    run(main())


def test_a_pipe_is_no_transport_for_tls(run, asyncio, loop, version):
    async def main():
        read, write = os.pipe()
        with open(write, "wb"):
            transport, protocol = await loop.connect_read_pipe(asyncio.Protocol, open(read, "rb"))  # noqa: SIM115
            with pytest.raises(TypeError, match="is not supported by start_tls"):
                await loop.start_tls(transport, protocol, contexts.client_context(version))
            transport.close()
            await asyncio.sleep(0)

    run(main())
