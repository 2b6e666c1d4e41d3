"""How a connection ends: close_notify given, answered, missing, cut short; aborts, resets, broken records."""

import logging
import socket
import ssl

import contexts
import oracle
import pytest
from peer import records


def calls_after_made(protocol):
    assert protocol.calls[0] == "made"
    return protocol.calls[1:]


LOST = ("lost", type(None))


def test_the_peer_closes(clean_run, connect, side, version):
    """Its close_notify is an eof_received(), is answered with ours, and the transport closes by itself."""

    async def main():
        protocol, peer = await connect(side, version)
        await peer.write(b"last words")
        await peer.unwrap()
        assert await peer.loop.sock_recv(peer.sock, 1) == b""
        assert await protocol.lost is None
        assert protocol.data == b"last words"
        assert calls_after_made(protocol) == ["data", "eof", LOST]
        assert protocol.transport.is_closing()

    clean_run(main())


def test_what_is_written_in_eof_received_still_goes_out(clean_run, connect, recorder, side, version):
    class Answering(recorder):
        def eof_received(self):
            self.transport.write(b"goodbye")
            return super().eof_received()

    async def main():
        protocol, peer = await connect(side, version, Answering)
        await peer.close_notify()
        # OpenSSL reads no data after it has sent a close_notify of its own; what came is in its records all the same.
        before = len(peer.on_the_wire)
        await peer.drain()
        sent = [length for kind, length in records(peer.on_the_wire[before:]) if kind == 23]
        assert await protocol.lost is None
        assert any(length >= len(b"goodbye") + 16 for length in sent)

    clean_run(main())


@pytest.mark.parametrize("eof_received", ["true", "false"])
def test_eof_received_returning_true(clean_run, connect, recorder, caplog, side, version, eof_received):
    """It changes nothing with TLS, and is warned of."""

    class Keeping(recorder):
        keep_open = eof_received == "true"

    async def main():
        protocol, peer = await connect(side, version, Keeping)
        await peer.unwrap()
        assert await protocol.lost is None
        assert calls_after_made(protocol) == ["eof", LOST]

    with caplog.at_level(logging.WARNING, "asyncio"):
        clean_run(main())
    expected = ["returning true from eof_received() has no effect when using ssl"]
    assert [record.getMessage() for record in caplog.records] == (expected if Keeping.keep_open else [])


@pytest.mark.parametrize("keep_open", [True, False])
def test_tcp_ends_without_a_close_notify(clean_run, connect, recorder, side, version, keep_open):
    """asyncio takes the end of TCP for the end of the data, and not for an error."""

    class Keeping(recorder):
        pass

    Keeping.keep_open = keep_open

    async def main():
        protocol, peer = await connect(side, version, Keeping)
        await peer.write(b"last words")
        peer.sock.shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert protocol.data == b"last words"
        assert calls_after_made(protocol) == ["data", "eof", LOST]

    clean_run(main())


def test_tcp_ends_inside_a_record(clean_run, connect, side, version):
    """What is whole is delivered; the beginning of a record that has no end is not."""

    async def main():
        protocol, peer = await connect(side, version)
        whole, cut = peer.encrypted(b"whole"), peer.encrypted(b"x" * 1000)
        await peer.send(whole + cut[:-1])
        peer.sock.shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        assert protocol.data == b"whole"
        assert calls_after_made(protocol) == ["data", "eof", LOST]

    clean_run(main())


def test_the_peer_half_closes(clean_run, connect, side, version):
    """The end of TCP in one direction is the end of the connection; what was written before goes out."""

    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.write(b"written before")
        peer.sock.shutdown(socket.SHUT_WR)
        assert await peer.read_exactly(14) == b"written before"
        assert await protocol.lost is None
        await peer.drain()

    clean_run(main())


def test_half_closing_is_not_for_tls(clean_run, connect, end, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        assert not protocol.transport.can_write_eof()
        with pytest.raises(NotImplementedError):
            protocol.transport.write_eof()
        protocol.transport.write(b"still open")
        assert await peer.read_exactly(10) == b"still open"
        await end(protocol, peer)

    clean_run(main())


def test_a_peer_that_never_answers_a_close_notify(clean_run, asyncio, connect, side, version):
    async def main():
        protocol, peer = await connect(side, version, ssl_shutdown_timeout=0.02)
        protocol.transport.close()
        assert protocol.transport.is_closing()
        exc = await protocol.lost
        assert type(exc) is TimeoutError and exc.args == ("SSL shutdown timed out",)
        assert calls_after_made(protocol) == [("lost", TimeoutError)]
        assert await peer.read() == b""
        assert await peer.loop.sock_recv(peer.sock, 1) == b""

    clean_run(main())


def test_a_peer_that_stops_reading_while_the_transport_closes(clean_run, connect, side, version):
    """The time-out holds for what is left to be written as well."""

    async def main():
        protocol, peer = await connect(side, version, ssl_shutdown_timeout=0.05)
        protocol.transport.write(bytes(5_000_000))
        protocol.transport.close()
        assert type(await protocol.lost) is TimeoutError

    clean_run(main())


def test_data_that_comes_after_the_close(clean_run, connect, side, version):
    """The peer had it on the way; it is not delivered, and does not keep the connection open."""

    async def main():
        protocol, peer = await connect(side, version)
        late = peer.encrypted(b"late")
        protocol.transport.close()
        assert await peer.read() == b""
        await peer.send(late)
        await peer.close_notify()
        exc = await protocol.lost
        assert exc is None or isinstance(exc, ssl.SSLError)
        assert "data" not in protocol.calls
        await peer.drain()

    clean_run(main())


def test_closing_while_writing(clean_run, connect, side, version):
    """All that was written before close() arrives, however much it is, and then the close_notify."""
    data = bytes(range(256)) * 12_000

    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.write(data)
        protocol.transport.close()
        protocol.transport.write(b"after the end")
        assert await peer.read_to_the_end() == data
        await peer.unwrap()
        assert await protocol.lost is None

    clean_run(main())


def test_closing_twice(clean_run, connect, end, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.close()
        await end(protocol, peer)
        protocol.transport.close()
        assert calls_after_made(protocol) == ["eof", LOST]

    clean_run(main())


def test_abort(clean_run, connect, side, version):
    """No close_notify, nothing of what is still to be written, and connection_lost(None) in another turn."""

    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.write(bytes(5_000_000))
        protocol.transport.abort()
        assert protocol.transport.is_closing()
        assert ("lost", type(None)) not in protocol.calls
        assert await protocol.lost is None
        assert "eof" not in protocol.calls
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            await peer.read_to_the_end()
        protocol.transport.abort()

    clean_run(main())


def test_abort_while_closing(clean_run, connect, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.close()
        protocol.transport.abort()
        assert await protocol.lost is None
        await peer.drain()

    clean_run(main())


def test_the_peer_resets(clean_run, connect, reset, side, version):
    async def main():
        protocol, peer = await connect(side, version, tcp=True)
        reset(peer.sock)
        assert type(await protocol.lost) is ConnectionResetError
        assert calls_after_made(protocol) == [("lost", ConnectionResetError)]

    clean_run(main())


def test_the_peer_resets_while_it_is_written_to(clean_run, connect, reset, side, version):
    async def main():
        protocol, peer = await connect(side, version, tcp=True)
        protocol.transport.write(bytes(5_000_000))
        reset(peer.sock)
        assert type(await protocol.lost) in (ConnectionResetError, BrokenPipeError)
        assert "eof" not in protocol.calls

    clean_run(main())


def test_writing_after_the_end(clean_run, connect, end, caplog, side, version):
    """It is dropped; after five times in a row asyncio says so in the log."""

    async def main():
        protocol, peer = await connect(side, version)
        transport = protocol.transport
        await end(protocol, peer)
        for _ in range(6):
            transport.write(b"nobody reads this")
        transport.writelines([b"nor", b"this"])

    with caplog.at_level(logging.WARNING, "asyncio"):
        clean_run(main())
    assert {record.getMessage() for record in caplog.records} == {"SSL connection is closed"}
    assert len(caplog.records) >= 2


def spoiled(record):
    record[50] ^= 1


def of_an_unknown_type(record):
    record[0] = 99


def too_long(record):
    record[3:5] = b"\xff\xff"


def of_another_protocol(record):
    record[:] = b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.mark.parametrize("spoil", [spoiled, of_an_unknown_type, too_long, of_another_protocol])
def test_a_broken_record(clean_run, connect, side, version, spoil):
    """The connection ends with what `ssl` says of the record."""

    def broken(encrypted):
        record = bytearray(encrypted)
        spoil(record)
        return record

    client, server = oracle.connected(contexts.client_context(version), contexts.server_context(version))
    reader, writer = (client, server) if side == "client" else (server, client)
    with pytest.raises(ssl.SSLError) as expected:
        reader.read_from(broken(writer.encrypted(b"x" * 100)))

    async def main():
        protocol, peer = await connect(side, version)
        await peer.send(broken(peer.encrypted(b"x" * 100)))
        exc = await protocol.lost
        assert oracle.facts(exc) == oracle.facts(expected.value)
        assert calls_after_made(protocol) == [("lost", type(exc))]
        await peer.drain()

    clean_run(main())


@pytest.mark.parametrize("spoil", [spoiled, of_an_unknown_type, too_long, of_another_protocol])
def test_a_broken_record_behind_a_whole_one(clean_run, connect, side, version, spoil):
    """Nothing of the broken one is ever delivered, and the connection ends with an error."""

    async def main():
        protocol, peer = await connect(side, version)
        whole, broken = peer.encrypted(b"whole"), bytearray(peer.encrypted(b"x" * 100))
        spoil(broken)
        await peer.send(whole + broken)
        assert isinstance(await protocol.lost, ssl.SSLError)
        # asyncio drops what it has decrypted in the same turn as the error.
        assert protocol.data in (b"whole", b"")
        assert "eof" not in protocol.calls
        await peer.drain()

    clean_run(main())


def test_data_received_raises(run, connect, recorder, side, version):
    """The connection ends with what it raised, and the exception handler is told."""

    class Failing(recorder):
        def data_received(self, data):
            raise LookupError("on purpose")

    async def main():
        protocol, peer = await connect(side, version, Failing)
        await peer.write(b"x")
        exc = await protocol.lost
        assert type(exc) is LookupError and exc.args == ("on purpose",)
        (context,) = run.reported
        assert context["message"] == "Fatal error on SSL protocol"
        assert context["exception"] is exc
        assert type(context["protocol"]).__name__ == "SSLProtocol"
        await peer.drain()

    run(main())


def test_eof_received_raises(run, connect, recorder, side, version):
    class Failing(recorder):
        def eof_received(self):
            raise LookupError("on purpose")

    async def main():
        protocol, peer = await connect(side, version, Failing)
        await peer.close_notify()
        await peer.drain()
        exc = await protocol.lost
        assert type(exc) is LookupError
        assert [context["message"] for context in run.reported] == ["Error calling eof_received()"]
        assert run.reported[0]["exception"] is exc

    run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_gets_through(asyncio, loop, run, connect, recorder, side, version, error):
    made = []

    class Ending(recorder):
        def data_received(self, data):
            made.append(self.transport)
            raise error("on purpose")

    async def main():
        protocol, peer = await connect(side, version, Ending)
        await peer.write(b"x")
        await protocol.lost

    async def clean_up():
        for transport in made:
            transport.abort()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    with pytest.raises(error):
        run(main())
    assert len(made) == 1
    left = asyncio.all_tasks(loop)
    run(clean_up())
