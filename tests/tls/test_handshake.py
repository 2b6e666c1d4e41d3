"""Handshakes that succeed: what is known after them, and whatever way their bytes come."""

import socket
import ssl

import contexts
import pytest


@pytest.mark.parametrize("certificate", ["rsa", "ecdsa"])
def test_data_both_ways(clean_run, connect, end, side, version, certificate):
    async def main():
        server = contexts.server_context(version, certificate)
        protocol, peer = await connect(
            side, version, **({"theirs": server} if side == "client" else {"ours": server})
        )
        assert protocol.calls == ["made"]
        protocol.transport.write(b"from the transport")
        assert await peer.read_exactly(18) == b"from the transport"
        await peer.write(b"from the peer")
        assert await protocol.receive(13) == b"from the peer"
        await end(protocol, peer)
        assert protocol.calls == ["made", "data", "eof", ("lost", type(None))]

    clean_run(main())


def test_extra_info(clean_run, connect, side, version):
    async def main():
        ours = contexts.client_context(version) if side == "client" else contexts.server_context(version)
        protocol, peer = await connect(side, version, ours=ours, tcp=True)
        info = protocol.transport.get_extra_info
        tls = info("ssl_object")
        assert type(tls) is ssl.SSLObject and isinstance(tls, ours.sslobject_class)
        assert tls.context is ours and info("sslcontext") is ours
        assert tls.server_side == (side == "server")
        assert tls.server_hostname == ("localhost" if side == "client" else None)
        assert tls.version() == peer.tls.version() == f"TLSv{version}"
        assert info("cipher") == tls.cipher() == peer.tls.cipher()
        assert info("compression") is None and tls.compression() is None
        assert info("peercert") == tls.getpeercert()
        if side == "client":
            assert info("peercert")["subject"] == ((("commonName", "localhost"),),)
            assert tls.getpeercert(True) == ssl.PEM_cert_to_DER_cert(certificate_of("ecdsa"))
        else:
            assert info("peercert") is None
        if version == "1.2":
            assert tls.get_channel_binding() == peer.tls.get_channel_binding() is not None
        # What the TLS transport does not know itself, the one below does.
        assert info("socket").family == socket.AF_INET
        assert info("peername") == peer.sock.getsockname()
        assert info("sockname") == peer.sock.getpeername()
        assert info("nothing") is None and info("nothing", 5) == 5
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def certificate_of(name):
    text = (contexts.CERTIFICATES / f"{name}.pem").read_text()
    return text[text.index("-----BEGIN CERTIFICATE-----") :]


def test_the_ssl_object_lives_on_after_the_connection(clean_run, connect, side, version):
    async def main():
        protocol, _ = await connect(side, version)
        tls = protocol.transport.get_extra_info("ssl_object")
        cipher = tls.cipher()
        protocol.transport.abort()
        await protocol.lost
        protocol.transport = None
        return tls, cipher

    tls, cipher = clean_run(main())
    assert tls.cipher() == cipher
    assert tls.version() == f"TLSv{version}"
    assert tls.pending() == 0


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (["h2", "http/1.1"], ["http/1.1"], "http/1.1"),
        (["h2"], ["http/1.1"], None),
        ([], ["h2"], None),
        (["h2", "http/1.1"], ["http/1.1", "h2"], "h2"),
    ],
)
def test_alpn(clean_run, connect, side, version, ours, theirs, chosen):
    async def main():
        client, server = contexts.client_context(version), contexts.server_context(version)
        # The server's order decides, so the two lists are always given to the same sides.
        for context, protocols in ((server, ours), (client, theirs)):
            if protocols:
                context.set_alpn_protocols(protocols)
        mine, other = (client, server) if side == "client" else (server, client)
        protocol, peer = await connect(side, ours=mine, theirs=other)
        tls = protocol.transport.get_extra_info("ssl_object")
        assert tls.selected_alpn_protocol() == peer.tls.selected_alpn_protocol() == chosen
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_true_stands_for_the_default_context(clean_run, connect, end, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(contexts.CA))

    async def main():
        protocol, peer = await connect(ours=True)
        context = protocol.transport.get_extra_info("sslcontext")
        assert type(context) is ssl.SSLContext
        assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
        protocol.transport.write(b"abc")
        assert await peer.read_exactly(3) == b"abc"
        await end(protocol, peer)
        # Without a host's name there is none to check, but the certificate still is.
        protocol, _ = await connect(ours=True, server_hostname="")
        context = protocol.transport.get_extra_info("sslcontext")
        assert context.verify_mode is ssl.CERT_REQUIRED and not context.check_hostname
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


@pytest.mark.parametrize("most", [1, 2, 5, 100])
def test_a_few_bytes_at_a_time(clean_run, asyncio, begin, end, polled, side, version, most):
    """The peer's flights reach the transport, and the transport's the peer, in pieces of *most* bytes."""

    async def main():
        connecting, peer = begin(side, version)
        whole = peer.send

        async def in_pieces():
            while peer.outgoing.pending:
                await whole(peer.outgoing.read(most))
                await polled()

        peer.flush = in_pieces
        _, (_, protocol) = await asyncio.gather(peer.handshake(most), connecting)
        del peer.flush
        protocol.transport.write(b"abc")
        assert await peer.read_exactly(3) == b"abc"
        await peer.write(b"def")
        assert await protocol.receive(3) == b"def"
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("ending", ["close_notify", "end of TCP"])
def test_data_and_the_end_right_behind_the_handshake(clean_run, asyncio, begin, side, version, ending):
    """The peer's last flight, its data and the end of the connection are read at once."""

    async def main():
        connecting, peer = begin(side, version)
        connecting = asyncio.ensure_future(connecting)
        await peer.handshake_but_for_the_last_flight()
        last = peer.encrypted(b"at once")
        if ending == "close_notify":
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.unwrap()
            last += peer.outgoing.read()
        await peer.send(last)
        peer.sock.shutdown(socket.SHUT_WR)
        _, protocol = await connecting
        assert await protocol.lost is None
        assert protocol.data == b"at once"
        assert protocol.calls == ["made", "data", "eof", ("lost", type(None))]

    clean_run(main())


def test_connection_made_writes(clean_run, asyncio, begin, recorder, side, version):
    class Greeting(recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"hello ")
            transport.writelines([b"from ", b"the start"])

    async def main():
        connecting, peer = begin(side, version, Greeting)
        _, (_, protocol) = await asyncio.gather(peer.handshake(), connecting)
        assert await peer.read_exactly(20) == b"hello from the start"
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_connection_made_closes(clean_run, asyncio, begin, recorder, side, version):
    class Refusing(recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"no")
            transport.close()
            assert transport.is_closing()

    async def main():
        connecting, peer = begin(side, version, Refusing)
        _, (_, protocol) = await asyncio.gather(peer.handshake(), connecting)
        assert await peer.read_to_the_end() == b"no"
        await peer.unwrap()
        assert await protocol.lost is None
        assert protocol.calls[0] == "made" and protocol.calls[-1] == ("lost", type(None))

    clean_run(main())


def test_connection_made_aborts(clean_run, asyncio, begin, recorder, side, version):
    class Aborting(recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.abort()

    async def main():
        connecting, peer = begin(side, version, Aborting)
        of_peer, (_, protocol) = await asyncio.gather(peer.handshake(), connecting, return_exceptions=True)
        # Where the transport's is the last flight, the peer may never see it.
        assert of_peer is None or type(of_peer) is ssl.SSLEOFError
        assert await protocol.lost is None
        assert protocol.calls == ["made", ("lost", type(None))]
        await peer.drain()

    clean_run(main())


def test_a_set_protocol_in_connection_made_counts(clean_run, asyncio, begin, recorder, side, version):
    """What the peer has sent right behind the handshake goes to the protocol that was set."""

    async def main():
        second = recorder()

        class First(recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                transport.set_protocol(second)

        connecting, peer = begin(side, version, First)
        connecting = asyncio.ensure_future(connecting)
        await peer.handshake_but_for_the_last_flight()
        await peer.send(peer.encrypted(b"for the second"))
        transport, first = await connecting
        assert transport.get_protocol() is second
        assert await second.receive(14) == b"for the second"
        transport.abort()
        await second.lost
        assert first.calls == ["made"] and second.calls == ["data", ("lost", type(None))]

    clean_run(main())
