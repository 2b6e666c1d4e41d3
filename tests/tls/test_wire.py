"""What is on the wire: TLS records and nothing else, from the first byte to the last."""

import io

import contexts
import pytest
from peer import HANDSHAKE, Peer, records

SECRET = b"the secret that nobody may read on the wire, in whole or in part;"


def is_all_tls(wire):
    """Each byte belongs to a record, the first one of a handshake, and no part of the secret is to be seen."""
    found = records(wire)
    assert found[0][0] == HANDSHAKE
    # A few bytes can be alike by chance; eight of the secret's cannot.
    for start in range(len(SECRET) - 8):
        assert SECRET[start : start + 8] not in wire
    return found


def in_one(transport):
    transport.write(SECRET)


def in_many(transport):
    for number in range(len(SECRET)):
        transport.write(SECRET[number : number + 1])


def as_lines(transport):
    transport.writelines([SECRET[:10], memoryview(SECRET)[10:20], bytearray(SECRET[20:])])


def in_bulk(transport):
    transport.write(SECRET * 50_000)


def in_bulk_and_more(transport):
    transport.write(SECRET * 50_000)
    transport.write(SECRET)
    transport.writelines([SECRET] * 100)


def before_the_end(transport):
    transport.write(SECRET)
    transport.close()
    transport.write(SECRET)


@pytest.mark.parametrize("how", [in_one, in_many, as_lines, in_bulk, in_bulk_and_more, before_the_end])
@pytest.mark.parametrize("when", ["in connection_made", "later"])
def test_writes(clean_run, asyncio, begin, recorder, side, version, how, when):
    class Writing(recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            if when == "in connection_made":
                how(transport)

    async def main():
        connecting, peer = begin(side, version, Writing)
        _, (transport, protocol) = await asyncio.gather(peer.handshake(), connecting)
        if when == "later":
            how(transport)
        transport.close()
        data = await peer.read_to_the_end()
        assert data == SECRET * (len(data) // len(SECRET)) and data
        await peer.unwrap()
        await peer.drain()
        await protocol.lost
        is_all_tls(bytes(peer.on_the_wire))

    clean_run(main())


def test_an_abort_in_the_middle(clean_run, connect, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.write(SECRET * 50_000)
        protocol.transport.abort()
        protocol.transport.write(SECRET)
        await peer.drain()
        await protocol.lost
        wire = bytes(peer.on_the_wire)
        assert SECRET[:8] not in wire
        # The last record may have been cut; all before it is whole.
        try:
            records(wire)
        except ValueError as exc:
            assert "the last record lacks" in str(exc)

    clean_run(main())


def test_sendfile(clean_run, asyncio, connect, side, version):
    """The kernel's own sendfile would send the file as it is."""

    async def main():
        loop = asyncio.get_running_loop()
        protocol, peer = await connect(side, version)
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, io.BytesIO(SECRET * 5000)))
        assert await peer.read_exactly(len(SECRET) * 5000) == SECRET * 5000
        assert await sending == len(SECRET) * 5000
        protocol.transport.abort()
        await protocol.lost
        is_all_tls(bytes(peer.on_the_wire))

    clean_run(main())


@pytest.mark.parametrize("written", ["during the handshake", "right after it"])
def test_start_tls(clean_run, asyncio, loop, recorder, sockets, side, version, written):
    """From start_tls() on nothing in plain text leaves, though the plain transport can still be written to."""

    async def main():
        sock, other = sockets()
        plain, protocol = await loop.create_connection(recorder, sock=sock)
        if side == "client":
            context, options = contexts.client_context(version), {"server_hostname": "localhost"}
            peer = Peer(loop, other, contexts.server_context(version), server_side=True)
        else:
            context, options = contexts.server_context(version), {"server_side": True}
            theirs = contexts.client_context(version)
            peer = Peer(loop, other, theirs, server_side=False, server_hostname="localhost")
        upgrading = asyncio.ensure_future(loop.start_tls(plain, protocol, context, **options))
        if written == "during the handshake":
            for _ in range(3):
                await asyncio.sleep(0)
            # What writes to the TLS transport before its handshake has ended has got hold of it somehow.
            plain.get_protocol()._app_transport.write(SECRET)
        _, transport = await asyncio.gather(peer.handshake(), upgrading)
        transport.write(SECRET)
        count = 2 if written == "during the handshake" else 1
        assert await peer.read_exactly(count * len(SECRET)) == count * SECRET
        transport.abort()
        await protocol.lost
        is_all_tls(bytes(peer.on_the_wire))

    clean_run(main())


def test_streams(clean_run, asyncio, version):
    """The same for start_server() and open_connection(), with a proxy in between that sees all of both directions."""

    async def main():
        async def handler(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        seen = {"to the server": bytearray(), "to the client": bytearray()}

        async def pump(reader, writer, wire):
            while data := await reader.read(65536):
                wire += data
                writer.write(data)
            writer.close()

        async def proxied(reader, writer):
            onward_reader, onward = await asyncio.open_connection(*server.sockets[0].getsockname())
            await asyncio.gather(
                pump(reader, onward, seen["to the server"]),
                pump(onward_reader, writer, seen["to the client"]),
            )
            await asyncio.gather(onward.wait_closed(), writer.wait_closed(), return_exceptions=True)
            ended.set()

        ended = asyncio.Event()
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=contexts.server_context(version))
        proxy = await asyncio.start_server(proxied, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(
            *proxy.sockets[0].getsockname(), ssl=contexts.client_context(version), server_hostname="localhost"
        )
        writer.write(SECRET + b"\n")
        assert await reader.readline() == SECRET + b"\n"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await ended.wait()
        for wire in seen.values():
            is_all_tls(bytes(wire))
        server.close()
        proxy.close()

    clean_run(main())
