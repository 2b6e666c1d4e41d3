"""Which engine a connection has, and why: `FERRIO_TLS`, contexts that only Python's objects serve, `ferrio doctor`."""

import shutil
import ssl
import subprocess
import sys
import textwrap

import contexts
import implementation
import pytest

pytestmark = pytest.mark.skipif(
    implementation.chosen() == implementation.STOCK, reason="stock asyncio has one engine"
)


@pytest.fixture
def engine():
    """In the place of the one that runs every test twice: here each test says what is asked for."""


@pytest.fixture
def ask(monkeypatch):
    """`ask(value)` sets `FERRIO_TLS`, or removes it."""

    def ask(value):
        if value is None:
            monkeypatch.delenv("FERRIO_TLS", raising=False)
        else:
            monkeypatch.setenv("FERRIO_TLS", value)

    return ask


@pytest.fixture
def connected(asyncio, begin):
    """`await connected(…)` gives (`SSLProtocol`, transport, protocol, peer) of a client after the handshake."""

    async def connected(**options):
        connecting, peer = begin("client", **options)
        _, (transport, protocol) = await asyncio.gather(peer.handshake(), connecting)
        return transport._ssl_protocol, transport, protocol, peer

    return connected


async def exchange(transport, protocol, peer):
    transport.write(b"from the transport")
    assert await peer.read_exactly(18) == b"from the transport"
    await peer.write(b"from the peer")
    assert await protocol.receive(13) == b"from the peer"


@pytest.mark.parametrize(
    ("asked", "has"),
    [(None, "direct"), ("", "direct"), ("auto", "direct"), ("direct", "direct"), ("portable", "portable")],
)
def test_what_is_asked_for_is_used(clean_run, connected, end, ask, asked, has):
    ask(asked)

    async def main():
        tls, transport, protocol, peer = await connected()
        assert tls._tls_engine == has
        await exchange(transport, protocol, peer)
        await end(protocol, peer)
        assert tls._tls_engine == has

    clean_run(main())


def test_a_name_that_is_none_is_an_error(clean_run, begin, ask):
    ask("rustls")

    async def main():
        connecting, _ = begin("client")
        with pytest.raises(ValueError, match=r'unknown value "rustls" in FERRIO_TLS'):
            await connecting

    clean_run(main())


def with_message_callback():
    context = contexts.client_context()
    context._msg_callback = lambda *args: None
    return context


def with_objects_that(*methods):
    """A context whose objects have these methods of their own."""

    def make():
        context = contexts.client_context()
        usual = ssl.SSLObject
        own = {name: lambda self, *args, name=name: getattr(usual, name)(self, *args) for name in methods}
        context.sslobject_class = type("Object", (usual,), own)
        return context

    return make


class Elsewhere(ssl.SSLContext):
    """Gives its objects other memory than it was given."""

    def wrap_bio(self, incoming, outgoing, **options):
        return super().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **options)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(with_message_callback, "message callback", id="message callback"),
        pytest.param(with_objects_that("read"), "a way of their own", id="read"),
        pytest.param(with_objects_that("write"), "a way of their own", id="write"),
        pytest.param(lambda: contexts.client_context(kind=Elsewhere), "other memory", id="other memory"),
    ],
)
def test_what_only_python_serves(clean_run, begin, asyncio, loop, ask, make, reason):
    async def main():
        ask("direct")
        connecting, _ = begin("client", ours=make())
        with pytest.raises(RuntimeError, match=f"FERRIO_TLS=direct is not possible: .*{reason}"):
            await connecting
        ask("auto")
        tls = asyncio.sslproto.SSLProtocol(loop, asyncio.Protocol(), make(), None, False, "localhost")
        assert tls._tls_engine == "portable"
        tls._get_app_transport().abort()

    clean_run(main())


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(with_objects_that("do_handshake", "unwrap", "getpeercert"), id="handshake"),
        pytest.param(lambda: contexts.client_context(kind=type("Sub", (ssl.SSLContext,), {})), id="subclass"),
    ],
)
def test_what_both_serve(clean_run, connected, end, ask, make):
    ask("direct")

    async def main():
        _, transport, protocol, peer = await connected(ours=make())
        await exchange(transport, protocol, peer)
        await end(protocol, peer)

    clean_run(main())


def test_a_key_log_is_written(clean_run, connected, end, ask, tmp_path):
    """It has what the handshake agrees on, which Python runs."""
    ask("direct")
    context = contexts.client_context("1.3")
    context.keylog_filename = str(tmp_path / "keys")

    async def main():
        _, transport, protocol, peer = await connected(ours=context)
        await exchange(transport, protocol, peer)
        await end(protocol, peer)

    clean_run(main())
    assert "CLIENT_TRAFFIC_SECRET_0 " in (tmp_path / "keys").read_text()


@pytest.mark.skipif(not hasattr(ssl.SSLContext, "set_psk_client_callback"), reason="new in 3.13")
def test_pre_shared_keys(clean_run, connected, end, ask):
    ask("direct")
    key = bytes(range(32))
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    for context in (ours, theirs):
        contexts.pin(context, "1.2").set_ciphers("PSK")
    ours.set_psk_client_callback(lambda hint: ("name", key))
    theirs.set_psk_server_callback(lambda name: key if name == "name" else b"")

    async def main():
        _, transport, protocol, peer = await connected(ours=ours, theirs=theirs)
        assert "PSK" in transport.get_extra_info("cipher")[0]
        await exchange(transport, protocol, peer)
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("name", ["_incoming", "_outgoing"])
def test_a_program_that_looks_at_the_memory_has_python_move_the_data(clean_run, connected, end, ask, name):
    ask("direct")

    async def main():
        tls, transport, protocol, peer = await connected()
        await exchange(transport, protocol, peer)
        assert tls._tls_engine == "direct"
        assert type(getattr(tls, name)) is ssl.MemoryBIO
        assert tls._tls_engine == "portable"
        await exchange(transport, protocol, peer)
        await end(protocol, peer)

    clean_run(main())


def test_an_object_in_the_place_of_the_first(clean_run, connected, end, ask):
    """It is asked, and nothing that was on its way is lost."""
    ask("direct")
    calls = []

    class Between:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            calls.append(name)
            return getattr(self.inner, name)

    async def main():
        tls, transport, protocol, peer = await connected()
        transport.pause_reading()
        await peer.write(b"before")
        tls._sslobj = Between(tls._sslobj)
        assert tls._tls_engine == "portable"
        await peer.write(b" and after")
        transport.resume_reading()
        assert await protocol.receive(16) == b"before and after"
        transport.write(b"from the transport")
        assert await peer.read_exactly(18) == b"from the transport"
        await end(protocol, peer)

    clean_run(main())
    assert {"read", "write", "unwrap"} <= set(calls)


def test_an_object_that_the_program_reads_from(clean_run, connected, end, ask):
    """`ssl_object` is the connection's own, with each engine."""
    ask("direct")

    async def main():
        tls, transport, protocol, peer = await connected()
        ours = transport.get_extra_info("ssl_object")
        assert ours is tls._sslobj and ours.version() == peer.tls.version()
        with pytest.raises(ssl.SSLWantReadError):
            ours.read(1)
        await exchange(transport, protocol, peer)
        await end(protocol, peer)

    clean_run(main())


def doctor(env=None, before=""):
    """What `ferrio doctor` says of TLS in a process that has run *before*."""
    script = textwrap.dedent(before) + "\nfrom ferrio.cli.doctor import main\nmain()\n"
    command = [sys.executable, "-c", script]
    lines = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("tls ")]
    return line.removeprefix("tls").strip()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (None, "direct: OpenSSL "),
        ("direct", "direct (FERRIO_TLS asks for it): OpenSSL "),
        ("portable", "portable (FERRIO_TLS asks for it)"),
        ("rustls", 'unknown value "rustls" in FERRIO_TLS'),
    ],
)
def test_the_doctor_says_which_and_why(ask, asked, says):
    ask(asked)
    assert doctor().startswith(says)


def test_a_process_without_descriptors_is_not_judged_for_ever(ask):
    """OpenSSL's memory is looked at through a pipe. Where there is none, the next connection asks again."""
    ask(None)
    before = """
        import os, resource, ssl
        from ferrio import _ferrio
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        says = _ferrio._driver_report()["tls"]
        assert says == "portable: no descriptors are left to look at OpenSSL with", says
        for fd in held:
            os.close(fd)
    """
    assert doctor(before=before).startswith("direct: ")


def test_a_second_openssl_in_the_process(ask, tmp_path):
    """One that another extension has brought is not taken. One that the linker finds first is a reason to take none."""
    ask(None)
    used = doctor()
    assert used.startswith("direct: ")
    file = used.rpartition(" in ")[2]
    second = tmp_path / "libssl-of-another.so"
    shutil.copyfile(file, second)
    load = f"import ssl, ctypes; ctypes.CDLL({str(second)!r}, mode=ctypes.RTLD_%s)"
    assert doctor(before=load % "LOCAL") == used
    reason = doctor(before=load % "GLOBAL")
    assert reason.startswith("portable: SSL_read_ex comes from ") and str(second) in reason
