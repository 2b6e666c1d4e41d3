"""Session tickets and resumption, with the transport on either side."""

import ssl

import contexts
import pytest


def resuming(context, sessions):
    """Have connections of a client's *context* resume the last of *sessions*; asyncio has no way to ask for that."""

    class Resuming(ssl.SSLObject):
        @classmethod
        def _create(cls, *args, **options):
            if sessions:
                options["session"] = sessions[-1]
            return super()._create(*args, **options)

    context.sslobject_class = Resuming
    return context


def test_a_server_resumes(clean_run, asyncio, connect, end, version):
    async def main():
        server, client = contexts.server_context(version), contexts.client_context(version)
        session = None
        for number in range(3):
            protocol, peer = await connect("server", ours=server, theirs=client, peer={"session": session})
            protocol.transport.write(b"tickets have come before this")
            await peer.read_exactly(29)
            assert peer.tls.session_reused == (number > 0)
            assert protocol.transport.get_extra_info("ssl_object").session_reused == (number > 0)
            # A resumed session has no certificate on the wire, but the peer knows it.
            assert peer.tls.getpeercert()["subject"] == ((("commonName", "localhost"),),)
            session = peer.tls.session
            await end(protocol, peer)
        assert server.session_stats()["accept_good"] == 3
        assert server.session_stats()["hits"] == 2

    clean_run(main())


def test_a_client_resumes(clean_run, asyncio, connect, end, version):
    async def main():
        sessions = []
        server = contexts.server_context(version)
        client = resuming(contexts.client_context(version), sessions)
        for number in range(3):
            protocol, peer = await connect("client", ours=client, theirs=server)
            await peer.write(b"tickets have come before this")
            await protocol.receive(29)
            tls = protocol.transport.get_extra_info("ssl_object")
            assert isinstance(tls, client.sslobject_class)
            assert tls.session_reused == peer.tls.session_reused == (number > 0)
            assert tls.session is not None and tls.session.has_ticket
            assert protocol.transport.get_extra_info("peercert")["subject"] == (
                (("commonName", "localhost"),),
            )
            sessions.append(tls.session)
            await end(protocol, peer)

    clean_run(main())


def test_a_session_that_the_server_has_forgotten(clean_run, connect, end, version):
    """The handshake is a full one."""

    async def main():
        client, sessions = contexts.client_context(version), []
        resuming(client, sessions)
        for _ in range(2):
            protocol, peer = await connect("client", ours=client, theirs=contexts.server_context(version))
            await peer.write(b"x")
            await protocol.receive(1)
            tls = protocol.transport.get_extra_info("ssl_object")
            assert not tls.session_reused
            sessions.append(tls.session)
            await end(protocol, peer)

    clean_run(main())


def test_no_tickets(clean_run, connect, end, polled):
    async def main():
        server = contexts.server_context("1.3")
        server.num_tickets = 0
        protocol, peer = await connect("server", ours=server, theirs=contexts.client_context("1.3"))
        await polled()
        # Nothing follows the handshake by itself.
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)
        await end(protocol, peer)

    clean_run(main())


def test_many_resumptions_at_once(clean_run, asyncio, loop, connect, begin, recorder, end, version):
    async def main():
        server, client = contexts.server_context(version), contexts.client_context(version)
        protocol, peer = await connect("server", ours=server, theirs=client)
        protocol.transport.write(b"x")
        await peer.read_exactly(1)
        session = peer.tls.session
        await end(protocol, peer)

        async def one():
            protocol, peer = await connect("server", ours=server, theirs=client, peer={"session": session})
            protocol.transport.write(b"x")
            await peer.read_exactly(1)
            reused = peer.tls.session_reused
            await end(protocol, peer)
            return reused

        assert all(await asyncio.gather(*(one() for _ in range(20))))

    clean_run(main())


def test_a_session_of_another_context_is_refused(clean_run, loop, recorder, sockets, connect, end, version):
    """What `ssl` refuses, it refuses here too, and nothing is left of the connection."""

    async def main():
        sessions = []
        client = resuming(contexts.client_context(version), sessions)
        protocol, peer = await connect("client", ours=client, theirs=contexts.server_context(version))
        await peer.write(b"x")
        await protocol.receive(1)
        sessions.append(protocol.transport.get_extra_info("ssl_object").session)
        await end(protocol, peer)
        other = resuming(contexts.client_context(version), sessions)
        sock, _ = sockets()
        with pytest.raises(ValueError, match="Session refers to a different SSLContext"):
            await loop.create_connection(recorder, sock=sock, ssl=other, server_hostname="localhost")

    clean_run(main())
