"""Handshakes that fail: with the class, reason, library, verify_code and text that `ssl` itself has for it."""

import ssl

import contexts
import pytest
from oracle import facts, handshake


def heard(exc, alert):
    """Whether the peer saw the transport's refusal as *alert*; asyncio's own closes without having sent it."""
    return facts(exc) == facts(alert) or type(exc) in (ssl.SSLEOFError, ConnectionResetError)


def old_and_new(client, server):
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    server.maximum_version = ssl.TLSVersion.TLSv1_2


CASES = {
    "unknown CA": ("unknown", "localhost", None),
    "expired": ("expired", "localhost", None),
    "wrong name": ("ecdsa", "example.org", None),
    "wildcard": ("ecdsa", "any.wild.example", None),
    "two labels for a wildcard": ("ecdsa", "one.two.wild.example", None),
    "the wildcard's own domain": ("ecdsa", "wild.example", None),
    "address": ("ecdsa", "127.0.0.1", None),
    "address of version 6": ("ecdsa", "::1", None),
    "wrong address": ("ecdsa", "127.0.0.2", None),
    "international": ("ecdsa", "k\xf6nig.example", None),
    "international, encoded": ("ecdsa", "xn--knig-5qa.example", None),
    "wrong international": ("ecdsa", "k\xf6nigin.example", None),
    "upper case": ("ecdsa", "LOCALHOST", None),
    "a client's certificate at the server": ("client", "localhost", None),
    "no version in common": ("ecdsa", "localhost", old_and_new),
}


def contexts_of(version, certificate, spoil):
    client, server = contexts.client_context(version), contexts.server_context(version, certificate)
    if spoil is not None:
        spoil(client, server)
    return client, server


@pytest.mark.parametrize("case", CASES)
def test_what_the_client_checks(clean_run, asyncio, begin, version, case):
    certificate, hostname, spoil = CASES[case]
    expected, expected_of_server = handshake(*contexts_of(version, certificate, spoil), hostname)

    async def of_client():
        client, server = contexts_of(version, certificate, spoil)
        connecting, peer = begin(ours=client, theirs=server, server_hostname=hostname)
        handshaking = asyncio.ensure_future(peer.handshake())
        (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
        if expected is None:
            outcome[0].abort()
            await outcome[1].lost
        else:
            assert facts(outcome) == facts(expected)
        await asyncio.wait([handshaking])
        assert heard(handshaking.exception(), expected_of_server)
        await peer.drain()

    async def of_server():
        client, server = contexts_of(version, certificate, spoil)
        connecting, peer = begin("server", ours=server, theirs=client, peer={"server_hostname": hostname})
        outcome, of_peer = await asyncio.gather(connecting, peer.handshake(), return_exceptions=True)
        assert facts(of_peer) == facts(expected) or (spoil and heard(of_peer, expected))
        if expected is None:
            assert outcome[1].calls == ["made"]
            outcome[0].abort()
            await outcome[1].lost
        elif isinstance(outcome, BaseException):
            assert facts(outcome) == facts(expected_of_server)
        else:
            # In 1.3 the server is content before it reads the client's alert.
            assert facts(await outcome[1].lost) == facts(expected_of_server)

    clean_run(of_client())
    clean_run(of_server())


@pytest.mark.parametrize("hostname", [".localhost", "a" * 64 + ".example", "local\0host"])
def test_what_is_no_name(run, asyncio, begin, version, hostname):
    """`wrap_bio()` refuses it; nothing may be left of the connection."""
    context = contexts.client_context(version)
    with pytest.raises((ValueError, TypeError)) as expected:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=hostname)

    async def main():
        connecting, peer = begin(ours=context, server_hostname=hostname)
        with pytest.raises(type(expected.value)) as raised:
            await connecting
        assert str(raised.value) == str(expected.value)

    run(main())


def test_the_exceptions_cycle_is_collected_without_a_collector(clean_run, asyncio, begin, version):
    """The exception, with its frames, does not keep the connection."""

    async def main():
        connecting, peer = begin(version=version, server_hostname="example.org")
        handshaking = asyncio.ensure_future(peer.handshake())
        with pytest.raises(ssl.SSLCertVerificationError) as raised:
            await connecting
        assert raised.value.verify_code == 62
        assert raised.value.verify_message == "Hostname mismatch, certificate is not valid for 'example.org'."
        await asyncio.wait([handshaking])
        handshaking.exception()
        assert raised.value.__context__ is None and raised.value.__cause__ is None

    clean_run(main())


def required(server):
    contexts.asking_for_a_certificate(server)


def from_elsewhere(client):
    client.load_cert_chain(contexts.CERTIFICATES / "unknown.pem")


def from_the_ca(client):
    client.load_cert_chain(contexts.CERTIFICATES / "client.pem")


@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
@pytest.mark.parametrize("shown", [None, from_the_ca, from_elsewhere])
def test_client_certificates(clean_run, asyncio, begin, side, version, mode, shown):
    def made():
        client, server = contexts.client_context(version), contexts.server_context(version)
        contexts.asking_for_a_certificate(server, mode)
        if shown:
            shown(client)
        return client, server

    expected_of_client, expected_of_server = handshake(*made())
    good = expected_of_server is None
    assert good == (shown is from_the_ca or (shown is None and mode is ssl.CERT_OPTIONAL))

    async def main():
        client, server = made()
        ours, theirs = (client, server) if side == "client" else (server, client)
        connecting, peer = begin(side, ours=ours, theirs=theirs)
        handshaking = asyncio.ensure_future(peer.handshake())
        (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
        await asyncio.wait([handshaking])
        expected = expected_of_client if side == "client" else expected_of_server
        if good:
            transport, protocol = outcome
            certificate = transport.get_extra_info("peercert")
            if side == "server":
                assert (certificate or {}).get("subject") == (
                    ((("commonName", "a client"),),) if shown else None
                )
            transport.abort()
            await protocol.lost
        elif isinstance(outcome, BaseException):
            assert facts(outcome) == facts(expected)
        else:
            # A client of TLS 1.3 has connected before the server's refusal comes.
            assert (side, version) == ("client", "1.3")
            assert facts(await outcome[1].lost) == facts(expected)
            assert outcome[1].calls == ["made", ("lost", type(expected))]
        await peer.drain()
        handshaking.exception()

    clean_run(main())


def test_a_peer_that_does_not_speak_tls(clean_run, asyncio, begin, side, version):
    context = contexts.client_context(version) if side == "client" else contexts.server_context(version)
    words = b"220 this is not TLS\r\n" * 10
    incoming = ssl.MemoryBIO()
    incoming.write(words)
    options = {"server_hostname": "localhost"} if side == "client" else {"server_side": True}
    with pytest.raises(ssl.SSLError) as expected:
        context.wrap_bio(incoming, ssl.MemoryBIO(), **options).do_handshake()

    async def main():
        connecting, peer = begin(side, ours=context)
        await peer.send(words)
        with pytest.raises(ssl.SSLError) as raised:
            await connecting
        assert facts(raised.value) == facts(expected.value)
        await peer.drain()

    clean_run(main())


@pytest.mark.parametrize("after", ["nothing", "a part", "nearly a flight"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_the_peer_leaves_during_the_handshake(
    clean_run, asyncio, begin, reset, descriptors, side, version, after, how
):
    async def main():
        before = descriptors()
        connecting, peer = begin(side, version, tcp=True)
        connecting = asyncio.ensure_future(connecting)
        if side == "client":
            await peer.fill()
        if after != "nothing":
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.do_handshake()
            flight = peer.outgoing.read()
            # In TLS 1.3 the whole of a server's first flight would end the client's handshake.
            await peer.send(flight[:20] if after == "a part" else flight[:-1])
        if how == "close":
            peer.close()
        elif how == "reset":
            reset(peer.sock)
        else:
            peer.sock.shutdown(1)
        with pytest.raises(ConnectionError) as raised:
            await connecting
        if how == "half":
            assert type(raised.value) is ConnectionResetError and raised.value.args == ()
            await peer.drain()
            peer.close()
        else:
            assert type(raised.value) in (ConnectionResetError, BrokenPipeError)
        assert descriptors() == before

    clean_run(main())


def test_a_handshake_that_takes_too_long(clean_run, begin, descriptors, side, version):
    async def main():
        before = descriptors()
        connecting, peer = begin(side, version, ssl_handshake_timeout=0.02)
        with pytest.raises(ConnectionAbortedError) as raised:
            await connecting
        assert str(raised.value) == (
            "SSL handshake is taking longer than 0.02 seconds: aborting the connection"
        )
        await peer.drain()
        peer.close()
        assert descriptors() == before

    clean_run(main())


def test_a_handshake_that_stops_half_way(clean_run, asyncio, begin, side, version):
    """The time-out counts from the beginning, not from the last byte."""

    async def main():
        connecting, peer = begin(side, version, ssl_handshake_timeout=0.05)
        connecting = asyncio.ensure_future(connecting)
        if side == "client":
            await peer.fill()
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        await peer.send(peer.outgoing.read()[:30])
        with pytest.raises(ConnectionAbortedError, match=r"taking longer than 0\.05 seconds"):
            await connecting
        await peer.drain()

    clean_run(main())


def test_an_accepted_connection_that_fails_is_the_servers_own_affair(
    run, asyncio, loop, recorder, descriptors, version
):
    """Nothing is reported, the protocol hears nothing, and the server goes on."""
    made = []

    def factory():
        made.append(recorder())
        return made[-1]

    async def main():
        server = await loop.create_server(
            factory, "127.0.0.1", 0, ssl=contexts.server_context(version), ssl_handshake_timeout=0.05
        )
        address = server.sockets[0].getsockname()
        before = descriptors()
        for words in (b"GET / HTTP/1.0\r\n\r\n", b"", None):
            reader, writer = await asyncio.open_connection(*address)
            if words is not None:
                writer.write(words)
                writer.write_eof()
            # An alert, or nothing: the end is what counts.
            await asyncio.gather(reader.read(), return_exceptions=True)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        assert descriptors() == before
        assert [protocol.calls for protocol in made] == [[], [], []]
        client = contexts.client_context(version)
        transport, protocol = await loop.create_connection(
            recorder, *address, ssl=client, server_hostname="localhost"
        )
        transport.write(b"still here")
        await made[-1].until(lambda protocol: protocol.data == b"still here") if len(made) == 4 else None
        transport.close()
        await protocol.lost
        server.close()
        await server.wait_closed()
        assert made[-1].data == b"still here"

    run(main())
    assert run.reported == []
