"""Contexts of every make: subclasses, ones that wrap another, ones that come with their own objects or callbacks."""

import gc
import ssl
import weakref

import contexts
import pytest


@pytest.fixture
def round_trip(asyncio, begin, end):
    """`await round_trip(side, …)` connects, sends something each way, and closes; returns (transport, peer)."""

    async def round_trip(*args, **options):
        connecting, peer = begin(*args, **options)
        _, (transport, protocol) = await asyncio.gather(peer.handshake(), connecting)
        transport.write(b"from the transport")
        assert await peer.read_exactly(18) == b"from the transport"
        await peer.write(b"from the peer")
        assert await protocol.receive(13) == b"from the peer"
        kept = transport.get_extra_info("ssl_object"), transport.get_extra_info("sslcontext")
        await end(protocol, peer)
        return kept

    return round_trip


def of_side(side, version, kind):
    return (
        contexts.client_context(version, kind)
        if side == "client"
        else contexts.server_context(version, kind=kind)
    )


def test_a_subclass(clean_run, round_trip, side, version):
    class Context(ssl.SSLContext):
        pass

    async def main():
        ours = of_side(side, version, Context)
        tls, context = await round_trip(side, ours=ours, version=version)
        assert context is ours and tls.context is ours

    clean_run(main())


def test_an_object_class_of_its_own(clean_run, round_trip, side, version):
    class Object(ssl.SSLObject):
        pass

    async def main():
        ours = of_side(side, version, ssl.SSLContext)
        ours.sslobject_class = Object
        tls, _ = await round_trip(side, ours=ours, version=version)
        assert type(tls) is Object

    clean_run(main())


@pytest.mark.usefixtures("left_to_ferrio")
@pytest.mark.parametrize("method", ["read", "write", "do_handshake", "unwrap"])
def test_an_object_class_with_methods_of_its_own(clean_run, round_trip, side, version, method):
    """What it does in their place is done."""
    called = []

    class Object(ssl.SSLObject):
        pass

    def own(self, *args):
        called.append(method)
        return getattr(super(Object, self), method)(*args)

    setattr(Object, method, own)

    async def main():
        ours = of_side(side, version, ssl.SSLContext)
        ours.sslobject_class = Object
        await round_trip(side, ours=ours, version=version)

    clean_run(main())
    assert called


@pytest.mark.usefixtures("left_to_ferrio")
def test_a_wrap_bio_of_its_own(clean_run, round_trip, side, version):
    """It is called as asyncio calls it, and what it returns is used, whatever that is made of."""
    calls = []

    class Wrapping:
        """Not a subclass of `ssl.SSLObject`, but one that has its methods."""

        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

    class Context(ssl.SSLContext):
        def wrap_bio(self, incoming, outgoing, server_side=False, server_hostname=None, session=None):
            calls.append((type(incoming), type(outgoing), server_side, server_hostname, session))
            return Wrapping(super().wrap_bio(incoming, outgoing, server_side, server_hostname, session))

    async def main():
        ours = of_side(side, version, Context)
        tls, _ = await round_trip(side, ours=ours, version=version)
        assert type(tls) is Wrapping
        assert calls == [
            (ssl.MemoryBIO, ssl.MemoryBIO, side == "server", "localhost" if side == "client" else None, None)
        ]

    clean_run(main())


def test_a_context_that_wraps_another(clean_run, round_trip, version):
    """truststore's way: a subclass that is never initialised as a context, and hands everything on."""

    class Context(ssl.SSLContext):
        def __new__(cls, *args, **options):
            return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

        def __init__(self, inner):
            self.inner = inner

        def wrap_bio(self, *args, **options):
            return self.inner.wrap_bio(*args, **options)

    async def main():
        inner = contexts.client_context(version)
        ours = Context(inner)
        tls, context = await round_trip("client", ours=ours, version=version)
        assert context is ours and tls.context is inner

    clean_run(main())


def test_a_wrap_bio_that_raises(run, begin, descriptors, side, version):
    class Context(ssl.SSLContext):
        def wrap_bio(self, *args, **options):
            raise LookupError("on purpose")

    async def main():
        connecting, _ = begin(side, ours=of_side(side, version, Context))
        with pytest.raises(LookupError, match="on purpose"):
            await connecting

    run(main())


@pytest.mark.usefixtures("left_to_ferrio")
def test_a_message_callback(clean_run, round_trip, side, version):
    """`_msg_callback` is undocumented, but sees each record and message that goes or comes."""
    seen = []

    async def main():
        ours = of_side(side, version, ssl.SSLContext)
        ours._msg_callback = lambda tls, direction, version, content, kind, data: seen.append(
            (direction, getattr(content, "name", content))
        )
        await round_trip(side, ours=ours, version=version)

    clean_run(main())
    assert {direction for direction, _ in seen} == {"read", "write"}
    # The data went through records that it saw too: the close_notify came after them.
    assert "ALERT" in {content for _, content in seen}


def test_a_key_log(clean_run, round_trip, tmp_path, side, version):
    path = tmp_path / "keys"

    async def main():
        ours = of_side(side, version, ssl.SSLContext)
        ours.keylog_filename = str(path)
        await round_trip(side, ours=ours, version=version)

    clean_run(main())
    words = {line.split()[0] for line in path.read_text().splitlines() if not line.startswith("#")}
    assert words >= (
        {"CLIENT_RANDOM"} if version == "1.2" else {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}
    )


@pytest.mark.skipif(not hasattr(ssl.SSLContext, "set_psk_client_callback"), reason="ssl has it since 3.13")
def test_pre_shared_keys(clean_run, round_trip, side):
    async def main():
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for context in (client, server):
            contexts.pin(context, "1.2")
            context.set_ciphers("PSK")
        client.set_psk_client_callback(lambda hint: ("a client", b"a key"))
        server.set_psk_server_callback(lambda identity: b"a key")
        ours, theirs = (client, server) if side == "client" else (server, client)
        options = {"peer": {"server_hostname": None}} if side == "server" else {"server_hostname": ""}
        tls, _ = await round_trip(side, ours=ours, theirs=theirs, **options)
        assert "PSK" in tls.cipher()[0]

    clean_run(main())


def test_a_contexts_settings_change_between_connections(clean_run, round_trip, asyncio, begin):
    """Each connection has what the context says when it begins."""

    async def main():
        ours = contexts.client_context()
        tls, _ = await round_trip("client", ours=ours)
        assert tls.version() == "TLSv1.3"
        contexts.pin(ours, "1.2")
        tls, _ = await round_trip("client", ours=ours)
        assert tls.version() == "TLSv1.2"

    clean_run(main())


def test_a_context_is_collected(clean_run, asyncio, connect, end, side, version):
    """When the connection has ended, nothing of it holds the context; no collector is needed for that."""

    class Context(ssl.SSLContext):
        pass

    async def main():
        ours = of_side(side, version, Context)
        protocol, peer = await connect(side, ours=ours, version=version)
        await peer.write(b"abc")
        await protocol.receive(3)
        watched = [
            weakref.ref(thing)
            for thing in (ours, protocol, protocol.transport, protocol.transport.get_extra_info("ssl_object"))
        ]
        await end(protocol, peer)
        return watched

    gc.collect()
    gc.disable()
    try:
        watched = clean_run(main())
        asyncio_left = [type(ref()).__name__ for ref in watched if ref() is not None]
        assert asyncio_left == []
    finally:
        gc.enable()
