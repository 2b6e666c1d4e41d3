"""The server's SNI callback: it sees the name, swaps the context, refuses with an alert, raises."""

import ssl

import contexts
import pytest
from oracle import facts, handshake


class Callback:
    """An SNI callback that does what it was made for, and notes what it was called with."""

    def __init__(self, context, does):
        self.seen = []
        self.does = does
        context.sni_callback = self

    def __call__(self, tls, name, context):
        self.seen.append((type(tls), name, context))
        return self.does(tls)


def swaps(tls):
    tls.context = contexts.server_context(certificate="other")


def refuses(tls):
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


def raises(tls):
    raise LookupError("on purpose")


def returns_nonsense(tls):
    return "nonsense"


def lets_pass(tls):
    return None


@pytest.mark.parametrize("does", [lets_pass, swaps, refuses, raises, returns_nonsense])
def test_the_servers_callback(run, asyncio, begin, end, unraisable, version, does):
    name = "other.example" if does is swaps else "localhost"

    def made():
        context = contexts.server_context(version)
        return context, Callback(context, does)

    expected_of_client, expected_of_server = handshake(contexts.client_context(version), made()[0], name)
    expected_unraisable = [type(exc) for exc in unraisable]
    unraisable.clear()

    async def main():
        context, callback = made()
        connecting, peer = begin("server", version, ours=context, peer={"server_hostname": name})
        outcome, of_peer = await asyncio.gather(connecting, peer.handshake(), return_exceptions=True)
        assert callback.seen == [(ssl.SSLObject, name, context)]
        if expected_of_server is None:
            assert of_peer is None
            transport, protocol = outcome
            certificate = peer.tls.getpeercert()["subject"]
            assert certificate == ((("commonName", name),),)
            tls = transport.get_extra_info("ssl_object")
            # The connection's context, as asyncio has it, is the one that it was given.
            assert transport.get_extra_info("sslcontext") is context
            assert (tls.context is context) == (does is lets_pass)
            await peer.write(b"abc")
            assert await protocol.receive(3) == b"abc"
            transport.write(b"def")
            assert await peer.read_exactly(3) == b"def"
            await end(protocol, peer)
        else:
            assert facts(outcome) == facts(expected_of_server)
            assert facts(of_peer) == facts(expected_of_client) or type(of_peer) in (
                ssl.SSLEOFError,
                ConnectionResetError,
            )
        assert [type(exc) for exc in unraisable] == expected_unraisable

    run(main())
    assert run.reported == []


@pytest.mark.parametrize("name", ["localhost", "xn--knig-5qa.example", "127.0.0.1", ""])
def test_the_clients_name(clean_run, asyncio, begin, version, name):
    """An address is no name, so none is sent."""

    async def main():
        server = contexts.server_context(version)
        callback = Callback(server, lets_pass)
        client = contexts.client_context(version)
        client.check_hostname = bool(name)
        connecting, peer = begin(ours=client, theirs=server, server_hostname=name)
        _, (transport, protocol) = await asyncio.gather(peer.handshake(), connecting)
        sent = name if name and not name[0].isdigit() else None
        assert [seen[1] for seen in callback.seen] == [sent]
        assert transport.get_extra_info("ssl_object").server_hostname == (name or None)
        transport.abort()
        await protocol.lost

    clean_run(main())


def test_the_callback_sees_the_ssl_object_of_the_connection(clean_run, asyncio, begin, version):
    """Programs hang their own things on it."""

    async def main():
        context = contexts.server_context(version)

        def callback(tls, name, context):
            tls.asked_for = name

        context.sni_callback = callback
        connecting, peer = begin("server", version, ours=context)
        _, (transport, protocol) = await asyncio.gather(peer.handshake(), connecting)
        assert transport.get_extra_info("ssl_object").asked_for == "localhost"
        transport.abort()
        await protocol.lost

    clean_run(main())


def test_a_callback_that_writes_to_another_connection(clean_run, asyncio, begin, connect, version):
    """It comes back into the transports from inside a handshake."""

    async def main():
        other, other_peer = await connect("server", version)
        context = contexts.server_context(version)

        def callback(tls, name, context):
            other.transport.write(b"asked for " + name.encode())

        context.sni_callback = callback
        connecting, peer = begin("server", version, ours=context)
        _, (transport, protocol) = await asyncio.gather(peer.handshake(), connecting)
        assert await other_peer.read_exactly(19) == b"asked for localhost"
        for made in (transport, other.transport):
            made.abort()
        await protocol.lost
        await other.lost

    clean_run(main())
