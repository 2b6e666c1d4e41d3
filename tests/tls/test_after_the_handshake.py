"""What TLS does after its handshake: key updates, certificates that are asked for late, renegotiation.

`openssl s_client` and `s_server` are the peers for what `ssl` itself cannot begin.
"""

import array
import contextlib
import fcntl
import shutil
import socket
import ssl
import subprocess
import termios

import contexts
import pytest

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="not on this machine: the openssl command")


# ------------------------------------------------------------------------------- certificates asked for late


def late(context):
    context.post_handshake_auth = True
    return context


def with_certificate(context):
    context.load_cert_chain(contexts.CERTIFICATES / "client.pem")
    return context


def test_a_server_asks_later(clean_run, connect, end):
    async def main():
        server = late(contexts.asking_for_a_certificate(contexts.server_context("1.3"), ssl.CERT_OPTIONAL))
        client = late(with_certificate(contexts.client_context("1.3")))
        protocol, peer = await connect("server", ours=server, theirs=client)
        tls = protocol.transport.get_extra_info("ssl_object")
        assert tls.getpeercert() is None
        await peer.write(b"may I?")
        assert await protocol.receive(6) == b"may I?"
        tls.verify_client_post_handshake()
        # The request goes out with what is written next, and the answer comes with what the peer writes.
        protocol.transport.write(b"who are you?")
        assert await peer.read_exactly(12) == b"who are you?"
        await peer.flush()
        await peer.write(b"me")
        assert await protocol.receive(2) == b"me"
        assert tls.getpeercert()["subject"] == ((("commonName", "a client"),),)
        await end(protocol, peer)

    clean_run(main())


def test_a_client_is_asked_later(clean_run, connect, end):
    async def main():
        server = late(contexts.asking_for_a_certificate(contexts.server_context("1.3"), ssl.CERT_OPTIONAL))
        client = late(with_certificate(contexts.client_context("1.3")))
        protocol, peer = await connect("client", ours=client, theirs=server)
        peer.tls.verify_client_post_handshake()
        # The transport answers by itself, without a write().
        await peer.write(b"who are you?")
        assert await protocol.receive(12) == b"who are you?"
        while peer.tls.getpeercert() is None:
            await peer.fill()
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.tls.read(1)
        assert peer.tls.getpeercert()["subject"] == ((("commonName", "a client"),),)
        protocol.transport.write(b"me")
        assert await peer.read_exactly(2) == b"me"
        await end(protocol, peer)

    clean_run(main())


def test_a_client_that_has_no_certificate(clean_run, connect):
    async def main():
        server = late(contexts.asking_for_a_certificate(contexts.server_context("1.3"), ssl.CERT_REQUIRED))
        # Only asked for later, so the handshake itself is content.
        server.verify_mode = ssl.CERT_REQUIRED
        client = late(contexts.client_context("1.3"))
        protocol, peer = await connect("server", ours=server, theirs=client)
        protocol.transport.get_extra_info("ssl_object").verify_client_post_handshake()
        protocol.transport.write(b"who are you?")
        assert await peer.read_exactly(12) == b"who are you?"
        await peer.flush()
        exc = await protocol.lost
        assert isinstance(exc, ssl.SSLError)
        assert exc.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
        await peer.drain()

    clean_run(main())


# ------------------------------------------------------------------------------------ the openssl command


@pytest.fixture
def s_client(asyncio, loop, recorder):
    """`await s_client(context, …)` gives (a server's protocol, the running command)."""
    with contextlib.ExitStack() as ended:

        async def s_client(context, *arguments, factory=recorder):
            made = loop.create_future()

            class Serving(factory):
                def connection_made(self, transport):
                    super().connection_made(transport)
                    made.set_result(self)

            server = await loop.create_server(Serving, "127.0.0.1", 0, ssl=context)
            port = server.sockets[0].getsockname()[1]
            command = Command(
                asyncio,
                loop,
                ended,
                "s_client",
                "-connect",
                f"127.0.0.1:{port}",
                "-CAfile",
                contexts.CA,
                *arguments,
            )
            protocol = await made
            server.close()
            return protocol, command

        yield s_client


@pytest.fixture
def s_server(asyncio, loop, recorder):
    """`await s_server(context, …)` gives (a client's protocol, the running command)."""
    with contextlib.ExitStack() as ended:

        async def s_server(context, *arguments, factory=recorder):
            command = Command(
                asyncio, loop, ended, "s_server", "-accept", "127.0.0.1:0",
                "-cert", contexts.CERTIFICATES / "ecdsa.pem", *arguments,
            )  # fmt: skip
            port = int((await command.line(b"ACCEPT ")).rsplit(b":", 1)[1])
            _, protocol = await loop.create_connection(
                factory, "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            return protocol, command

        yield s_server


class Command:
    """A running `openssl`, whose input and output are sockets, so that nothing but the loop's `sock_*` is needed."""

    def __init__(self, asyncio, loop, ended, *arguments):
        self.asyncio = asyncio
        self.loop = loop
        self.sock, its = socket.socketpair()
        self.sock.setblocking(False)
        self.output = b""
        with its:
            self.process = subprocess.Popen(
                [OPENSSL, *map(str, arguments)], stdin=its, stdout=its, stderr=subprocess.STDOUT
            )
        ended.callback(self.sock.close)
        ended.callback(self.process.wait)
        ended.callback(self.process.kill)

    async def type(self, text):
        """Give it a line of input, and wait until it has taken it: a command has to be read alone to be one."""
        await self.loop.sock_sendall(self.sock, text)
        untaken = array.array("i", [1])
        while untaken[0]:
            await self.asyncio.sleep(0.001)  # nothing tells when
            fcntl.ioctl(self.sock, termios.TIOCOUTQ, untaken)

    async def line(self, beginning):
        """Wait for a line of its output that begins so, and take it and what was before it out."""
        while True:
            *lines, last = self.output.split(b"\n")
            for number, line in enumerate(lines):
                if line.startswith(beginning):
                    self.output = b"\n".join([*lines[number + 1 :], last])
                    return line
            more = await self.loop.sock_recv(self.sock, 65536)
            assert more, f"the command ended: {self.output!r}"
            self.output += more

    async def until(self, text):
        """Wait until its output has *text* in it."""
        while text not in self.output:
            more = await self.loop.sock_recv(self.sock, 65536)
            assert more, f"the command ended: {self.output!r}"
            self.output += more


KINDS = {"update and ask for one": b"K\n", "update": b"k\n"}


@needs_openssl
@pytest.mark.parametrize("kind", KINDS)
def test_a_clients_key_update(clean_run, s_client, kind):
    """The transport goes on under the new keys in both directions, and answers with an update of its own."""

    async def main():
        protocol, command = await s_client(contexts.server_context("1.3"), "-tls1_3")
        for number in range(3):
            await command.type(b"before %d\n" % number)
            assert await protocol.receive(9) == b"before %d\n" % number
            await command.type(KINDS[kind])
            await command.line(b"KEYUPDATE")
            await command.type(b"after %d\n" % number)
            assert await protocol.receive(8) == b"after %d\n" % number
            protocol.transport.write(b"answer %d\n" % number)
            assert await command.line(b"answer") == b"answer %d" % number
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


@needs_openssl
@pytest.mark.parametrize("kind", KINDS)
def test_a_servers_key_update(clean_run, s_server, kind):
    async def main():
        protocol, command = await s_server(contexts.client_context("1.3"), "-tls1_3")
        for number in range(3):
            protocol.transport.write(b"asked %d\n" % number)
            assert (await command.line(b"asked")) == b"asked %d" % number
            await command.type(KINDS[kind])
            await command.type(b"after %d\n" % number)
            await protocol.until(lambda protocol: protocol.data.endswith(b"\n"))
            assert bytes(protocol.data) == b"after %d\n" % number
            protocol.data.clear()
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


@needs_openssl
def test_writing_while_the_keys_are_updated(clean_run, s_client):
    """Data of both directions is under way when the request comes: each record has the keys of its place."""
    lines = 2000

    async def main():
        protocol, command = await s_client(contexts.server_context("1.3"), "-tls1_3")
        for number in range(lines):
            protocol.transport.write(b"line %d of many, many lines of some length\n" % number)
            if number % 500 == 250:
                await command.type(b"K\n")
        protocol.transport.write(b"the end\n")
        await command.line(b"line %d " % (lines - 1))
        await command.line(b"the end")
        await command.type(b"still heard\n")
        await protocol.until(lambda protocol: b"still heard\n" in protocol.data)
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


@needs_openssl
def test_data_received_writes_right_behind_a_key_update(clean_run, s_client, recorder):
    class Echo(recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"echo of " + data)

    async def main():
        protocol, command = await s_client(contexts.server_context("1.3"), "-tls1_3", factory=Echo)
        for number in range(5):
            await command.type(b"K\n")
            await command.line(b"KEYUPDATE")
            await command.type(b"%d\n" % number)
            assert await command.line(b"echo") == b"echo of %d" % number
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


@needs_openssl
def test_a_client_cannot_renegotiate(clean_run, s_client):
    """The request is refused; as `ssl` has it, the connection lives or ends with an error, but never hangs."""

    async def main():
        protocol, command = await s_client(contexts.server_context("1.2"), "-tls1_2")
        cipher = protocol.transport.get_extra_info("cipher")
        await command.type(b"R\n")
        await command.until(b"no renegotiation")
        assert protocol.transport.get_extra_info("ssl_object").cipher() == cipher
        # The client has given up.
        await protocol.lost
        assert protocol.data == b""

    clean_run(main())


@needs_openssl
def test_a_server_renegotiates(clean_run, s_server):
    """A client of TLS 1.2 goes along, as `ssl` lets it; a handshake is done by what reads, in the middle of data."""

    async def main():
        protocol, command = await s_server(contexts.client_context("1.2"), "-tls1_2")
        for number in range(3):
            await command.type(b"r\n")
            protocol.transport.write(b"asked %d\n" % number)
            assert await command.line(b"asked") == b"asked %d" % number
            await command.type(b"after %d\n" % number)
            await protocol.until(lambda protocol: protocol.data.endswith(b"\n"))
            assert bytes(protocol.data) == b"after %d\n" % number
            protocol.data.clear()
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())
