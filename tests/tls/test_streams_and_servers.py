"""open_connection(), start_server(), create_server() and their Unix twins with ssl=, both ends on the loop."""

import io
import logging
import socket
import ssl

import contexts
import pytest

NUMBERS = bytes(range(256)) * 4000


async def upper(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.fixture(params=["tcp", "unix"])
def serve(asyncio, request, tmp_path):
    """`await serve(handler, …)` gives (a server, a coroutine function that opens a connection to it)."""

    async def serve(handler, version=None, **options):
        context = contexts.server_context(version)
        if request.param == "unix":
            path = str(tmp_path / "socket")
            server = await asyncio.start_unix_server(handler, path, ssl=context, **options)

            async def connect(**options):
                options = {"ssl": contexts.client_context(version), "server_hostname": "localhost"} | options
                return await asyncio.open_unix_connection(path, **options)
        else:
            server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context, **options)

            address = server.sockets[0].getsockname()

            async def connect(**options):
                # The name that is checked is the host's: here an address that the certificate has.
                options = {"ssl": contexts.client_context(version)} | options
                return await asyncio.open_connection(*address, **options)

        return server, connect

    return serve


async def close(writer):
    writer.close()
    await writer.wait_closed()


def test_lines(clean_run, serve, version):
    async def main():
        server, connect = await serve(upper, version)
        reader, writer = await connect()
        for word in (b"one\n", b"two\n"):
            writer.write(word)
            assert await reader.readline() == word.upper()
        assert not writer.can_write_eof()
        assert writer.get_extra_info("ssl_object").version() == f"TLSv{version}"
        await close(writer)
        assert await reader.read() == b""
        server.close()

    clean_run(main())


@pytest.mark.parametrize("limit", [64, 2**16])
def test_bulk_both_ways_at_once(clean_run, asyncio, serve, version, limit):
    async def mirror(reader, writer):
        while data := await reader.read(10_000):
            writer.write(data)
            await writer.drain()
        await close(writer)

    async def main():
        server, connect = await serve(mirror, version, limit=limit)
        reader, writer = await connect(limit=limit)

        async def send():
            for start in range(0, len(NUMBERS), 100_000):
                writer.write(NUMBERS[start : start + 100_000])
                await writer.drain()

        sending = asyncio.ensure_future(send())
        assert await reader.readexactly(len(NUMBERS)) == NUMBERS
        await sending
        await close(writer)
        server.close()

    clean_run(main())


def test_a_reader_that_nobody_reads_holds_the_peer_back(clean_run, asyncio, serve, version):
    async def main():
        started = asyncio.Event()
        go_on = asyncio.Event()
        read = []

        async def slow(reader, writer):
            started.set()
            await go_on.wait()
            read.append(len(await reader.readexactly(20_000_000)))
            await close(writer)

        server, connect = await serve(slow, version)
        reader, writer = await connect()
        await started.wait()

        async def send():
            for _ in range(200):
                writer.write(bytes(100_000))
                await writer.drain()

        sending = asyncio.ensure_future(send())
        # What the kernel and the loop's buffers take is far less: it does not end before its time.
        done, _ = await asyncio.wait([sending], timeout=0.2)
        assert not done
        go_on.set()
        await sending
        assert await reader.read() == b""
        assert read == [20_000_000]
        await close(writer)
        server.close()

    clean_run(main())


def test_reads_of_every_kind(clean_run, serve, version):
    async def talk(reader, writer):
        writer.write(b"line\nuntil;exactly" + b"the rest")
        await close(writer)

    async def main():
        server, connect = await serve(talk, version)
        reader, writer = await connect()
        assert await reader.readline() == b"line\n"
        assert await reader.readuntil(b";") == b"until;"
        assert await reader.readexactly(7) == b"exactly"
        assert await reader.read() == b"the rest"
        assert reader.at_eof()
        await close(writer)
        server.close()

    clean_run(main())


def test_the_peer_breaks_off(clean_run, asyncio, serve, version):
    """An IncompleteReadError, as for plain text: asyncio does not tell a missing close_notify from one."""

    async def talk(reader, writer):
        writer.write(b"half")
        await writer.drain()
        await reader.readline()
        writer.transport.abort()

    async def main():
        server, connect = await serve(talk, version)
        reader, writer = await connect()
        writer.write(b"go on\n")
        with pytest.raises(asyncio.IncompleteReadError) as raised:
            await reader.readexactly(100)
        assert raised.value.partial == b"half"
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        server.close()

    clean_run(main())


def test_streams_do_not_warn_of_eof_received(clean_run, serve, caplog, version):
    """A StreamReaderProtocol keeps plain connections open after the peer's end; with TLS it does not ask for that."""

    async def main():
        server, connect = await serve(upper, version)
        _, writer = await connect()
        await close(writer)
        server.close()

    with caplog.at_level(logging.WARNING, "asyncio"):
        clean_run(main())
    assert caplog.records == []


def test_many_clients_at_once(clean_run, asyncio, serve, version):
    async def main():
        server, connect = await serve(upper, version)

        async def client(number):
            reader, writer = await connect()
            writer.write(b"client %d\n" % number)
            assert await reader.readline() == b"CLIENT %d\n" % number
            await close(writer)

        await asyncio.gather(*(client(number) for number in range(40)))
        server.close()

    clean_run(main())


def test_a_server_that_closes_lets_its_connections_be(clean_run, serve, version):
    async def main():
        server, connect = await serve(upper, version)
        reader, writer = await connect()
        writer.write(b"one\n")
        assert await reader.readline() == b"ONE\n"
        server.close()
        with pytest.raises(OSError):
            await connect()
        writer.write(b"two\n")
        assert await reader.readline() == b"TWO\n"
        await close(writer)
        await server.wait_closed()

    clean_run(main())


def test_a_server_closes_its_clients(clean_run, asyncio, serve, version):
    """Server.close_clients() is a close() of each, with a close_notify; abort_clients() is an abort() of each."""
    if not hasattr(asyncio.Server, "close_clients"):
        pytest.skip("asyncio has it since 3.13")

    async def main():
        for method in ("close_clients", "abort_clients"):
            server, connect = await serve(upper, version)
            reader, writer = await connect()
            writer.write(b"one\n")
            assert await reader.readline() == b"ONE\n"
            getattr(server, method)()
            if method == "close_clients":
                assert await reader.read() == b""
            else:
                # Whether the reset or the end comes first is the kernel's affair.
                (last,) = await asyncio.gather(reader.read(), return_exceptions=True)
                assert last == b"" or isinstance(last, ConnectionError)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            server.close()
            await server.wait_closed()

    clean_run(main())


@pytest.mark.parametrize(("offset", "count"), [(0, None), (1000, None), (5, 1_000_001)])
def test_sendfile(clean_run, asyncio, connect, tmp_path, side, version, offset, count):
    """By reading and writing: the kernel cannot encrypt."""
    path = tmp_path / "file"
    path.write_bytes(NUMBERS)

    async def main():
        loop = asyncio.get_running_loop()
        protocol, peer = await connect(side, version)
        with path.open("rb") as file:
            protocol.transport.write(b"before ")
            expected = NUMBERS[offset:] if count is None else NUMBERS[offset:][:count]
            sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file, offset, count))
            assert await peer.read_exactly(7 + len(expected)) == b"before " + expected
            assert await sending == len(expected)
            assert file.tell() == offset + len(expected)
            protocol.transport.write(b" after")
            assert await peer.read_exactly(6) == b" after"
            assert protocol.transport.get_protocol() is protocol
            with pytest.raises(RuntimeError, match="fallback is disabled"):
                await loop.sendfile(protocol.transport, file, fallback=False)
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_sendfile_and_a_peer_that_resets(clean_run, asyncio, connect, reset, side, version):
    async def main():
        loop = asyncio.get_running_loop()
        protocol, peer = await connect(side, version, tcp=True)
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, io.BytesIO(NUMBERS * 10)))
        await peer.read_exactly(1000)
        reset(peer.sock)
        with pytest.raises(ConnectionError):
            await sending
        protocol.transport.abort()

    clean_run(main())


def test_writing_meanwhile(clean_run, asyncio, connect, side, version):
    """Data that the protocol is sent while a file goes out reaches it afterwards at the latest."""

    async def main():
        loop = asyncio.get_running_loop()
        protocol, peer = await connect(side, version)
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, io.BytesIO(NUMBERS * 4)))
        await peer.write(b"meanwhile")
        assert await peer.read_exactly(len(NUMBERS) * 4) == NUMBERS * 4
        await sending
        assert protocol.transport.is_reading()
        assert await protocol.receive(9) == b"meanwhile"
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_an_accepted_socket(clean_run, asyncio, loop, recorder, version):
    """connect_accepted_socket(): from a server that is not asyncio's."""

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            connecting = asyncio.ensure_future(
                loop.create_connection(
                    recorder,
                    *listening.getsockname(),
                    ssl=contexts.client_context(version),
                    server_hostname="localhost",
                )
            )
            accepted, _ = await loop.sock_accept(listening)
        server, theirs = await loop.connect_accepted_socket(
            recorder,
            accepted,
            ssl=contexts.server_context(version),
            ssl_handshake_timeout=20,
            ssl_shutdown_timeout=20,
        )
        client, ours = await connecting
        server.write(b"welcome")
        assert await ours.receive(7) == b"welcome"
        client.close()
        assert await ours.lost is None
        assert await theirs.lost is None

    clean_run(main())


def test_happy_eyeballs(clean_run, asyncio, version):
    """The first address refuses; the one that answers gets the handshake."""

    async def main():
        server = await asyncio.start_server(upper, "127.0.0.1", 0, ssl=contexts.server_context(version))
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "localhost", port, ssl=contexts.client_context(version), happy_eyeballs_delay=0.25
        )
        writer.write(b"one\n")
        assert await reader.readline() == b"ONE\n"
        await close(writer)
        server.close()

    clean_run(main())


def test_the_error_of_a_refused_certificate_is_ssls(clean_run, asyncio, serve, version):
    async def main():
        server, connect = await serve(upper, version)
        with pytest.raises(ssl.SSLCertVerificationError) as raised:
            await connect(server_hostname="example.org")
        assert raised.value.verify_code == 62
        assert raised.value.reason == "CERTIFICATE_VERIFY_FAILED"
        server.close()

    clean_run(main())
