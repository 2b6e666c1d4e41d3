"""What a protocol is called with, and in which order."""

import contextvars
import importlib
import logging

import pytest


def test_the_whole_life_in_order(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        assert protocol.calls == ["made"]
        peer.send(b"one")
        await protocol.until(lambda p: p.data == b"one")
        peer.close()
        assert await protocol.lost is None
        assert protocol.calls == ["made", ("data", b"one"), "eof", ("lost", type(None))]

    run(main())
    assert run.reported == []


def test_nothing_is_received_before_connection_made(run, loop, asyncio, recorder):
    import socket

    async def main():
        ours, peer = socket.socketpair()
        with peer:
            peer.send(b"early")
            _, protocol = await loop.create_connection(recorder, sock=ours)
            assert protocol.calls == ["made"]
            await protocol.until(lambda p: p.data)
            assert protocol.calls == ["made", ("data", b"early")]
            protocol.transport.abort()
            await protocol.lost

    run(main())


def test_half_close_keeps_writing(run, loop, pair, recorder):
    class Patient(recorder):
        keep_open = True

    async def main():
        protocol, peer = await pair(Patient)
        peer.shutdown(1)
        await protocol.until(lambda p: "eof" in p.calls)
        transport = protocol.transport
        assert not transport.is_closing()
        transport.write(b"answer")
        assert await loop.sock_recv(peer, 100) == b"answer"
        transport.close()
        await protocol.lost
        assert protocol.calls == ["made", "eof", ("lost", type(None))]

    run(main())


def test_write_eof_after_what_is_queued(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        transport = protocol.transport
        assert transport.can_write_eof()
        data = bytes(2_000_000)
        transport.write(data)
        transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.write(b"more")
        received = 0
        while chunk := await loop.sock_recv(peer, 1 << 20):
            received += len(chunk)
        assert received == len(data)
        peer.send(b"still heard")
        await protocol.until(lambda p: p.data == b"still heard")
        transport.abort()
        await protocol.lost

    run(main())


@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received", "connection_lost"])
def test_errors_of_the_protocol(run, loop, pair, recorder, method):
    def fail(self, *args):
        self.note(f"failing {method}")
        raise ZeroDivisionError

    async def main():
        protocol, peer = await pair(type("Failing", (recorder,), {method: fail}))
        peer.send(b"x")
        if method != "connection_made":
            peer.close()
        else:
            await protocol.until(lambda p: p.data)
            protocol.transport.close()
        await protocol.until(lambda p: p.transport._sock is None if hasattr(p, "transport") else True)

    if method == "connection_made":

        def fail(self, transport):
            self.transport = transport
            self.note("failing")
            raise ZeroDivisionError

    if method == "connection_lost":

        def fail(self, exc):
            self.note("failing")
            loop.call_soon(self.changed.set)
            raise ZeroDivisionError

    run(main())
    assert [type(context["exception"]) for context in run.reported] == [ZeroDivisionError]
    (context,) = run.reported
    if method in ("data_received", "eof_received"):
        assert context["message"] == f"Fatal error: protocol.{method}() call failed."
    assert context["transport"] is not None


def test_methods_replaced_on_the_instance_are_called(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        got = loop.create_future()
        protocol.data_received = got.set_result
        peer.send(b"x")
        assert await got == b"x"
        protocol.transport.abort()
        await protocol.lost

    run(main())


def test_set_protocol(run, loop, pair, recorder):
    async def main():
        first, peer = await pair()
        second = recorder()
        transport = first.transport
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        peer.send(b"x")
        await second.until(lambda p: p.data == b"x")
        transport.abort()
        await second.lost
        assert first.calls == ["made"]

    run(main())


def test_buffered_protocol(run, loop, asyncio, pair):
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer = bytearray(4)
            self.sizes = []
            self.received = b""
            self.lost = loop.create_future()

        def connection_made(self, transport):
            self.transport = transport

        def get_buffer(self, sizehint):
            assert sizehint == -1
            return self.buffer

        def buffer_updated(self, nbytes):
            self.sizes.append(nbytes)
            self.received += self.buffer[:nbytes]
            # Not exported any more: it can be resized.
            self.buffer.extend(b"\0")

        def connection_lost(self, exc):
            self.lost.set_result(exc)

    async def main():
        protocol, peer = await pair(Buffered)
        peer.send(b"abcdefgh")
        peer.close()
        await protocol.lost
        assert protocol.received == b"abcdefgh"
        assert protocol.sizes == [4, 4]

    run(main())


def test_buffered_protocol_has_one_context(run, loop, asyncio, pair):
    var = contextvars.ContextVar("var", default=0)

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.seen = []
            self.lost = loop.create_future()

        def get_buffer(self, sizehint):
            var.set(var.get() + 1)
            return bytearray(4)

        def buffer_updated(self, nbytes):
            self.seen.append(var.get())

        def eof_received(self):
            self.seen.append(var.get())

        def connection_lost(self, exc):
            self.lost.set_result(exc)

    async def main():
        protocol, peer = await pair(Buffered)
        peer.send(b"abcdefgh")
        peer.close()
        assert await protocol.lost is None
        # Two full buffers, and one that the end came into.
        assert protocol.seen == [1, 2, 3]
        assert var.get() == 0

    run(main())
    assert run.reported == []


def test_write_can_be_replaced_on_the_class(run, asyncio, pair, recorder, monkeypatch):
    # Where asyncio defines it, although the method itself is inherited.
    transport_class = importlib.import_module(f"{asyncio.__name__}.selector_events")._SelectorSocketTransport
    original = transport_class.write

    async def main():
        protocol, peer = await pair(recorder)
        with monkeypatch.context() as patch:
            patch.setattr(transport_class, "write", lambda self, data: original(self, data.upper()))
            protocol.transport.write(b"loud ")
        protocol.transport.write(b"quiet")
        protocol.transport.close()
        await protocol.lost
        peer.settimeout(10)
        received = b"".join(iter(lambda: peer.recv(100), b""))
        assert received == b"LOUD quiet"

    run(main())


def test_empty_buffer_is_fatal(run, loop, asyncio, pair):
    class Empty(asyncio.BufferedProtocol):
        def __init__(self):
            self.lost = loop.create_future()

        def get_buffer(self, sizehint):
            return bytearray()

        def connection_lost(self, exc):
            self.lost.set_result(exc)

    async def main():
        protocol, peer = await pair(Empty)
        peer.send(b"x")
        assert isinstance(await protocol.lost, RuntimeError)

    run(main())
    assert [c["message"] for c in run.reported] == ["Fatal error: protocol.get_buffer() call failed."]


def test_callbacks_run_in_the_context_of_the_connection(run, loop, asyncio, pair, recorder):
    var = contextvars.ContextVar("var", default="nothing")

    class Noting(recorder):
        def data_received(self, data):
            self.note(var.get())
            var.set("changed by a callback")

    async def main():
        var.set("main")
        protocol, peer = await pair(Noting)
        peer.send(b"x")
        await protocol.until(lambda p: len(p.calls) == 2)
        assert protocol.calls[1] == "main"
        assert var.get() == "main"
        protocol.transport.abort()
        await protocol.lost

    run(main())


def test_reset_while_reading(run, loop, tcp_pair, reset):
    async def main():
        protocol, peer = await tcp_pair()
        reset(peer)
        assert isinstance(await protocol.lost, ConnectionResetError)
        assert protocol.calls == ["made", ("lost", ConnectionResetError)]
        assert protocol.transport.get_extra_info("peername")[0] == "127.0.0.1"

    run(main())
    # Errors of the network are everyday: nobody is told but the protocol.
    assert run.reported == []


def test_reset_while_paused_is_noticed_at_the_next_write(run, loop, asyncio, tcp_pair, reset):
    async def main():
        protocol, peer = await tcp_pair()
        transport = protocol.transport
        transport.pause_reading()
        reset(peer)
        await asyncio.sleep(0)
        assert protocol.calls == ["made"]
        transport.write(b"x")
        assert isinstance(await protocol.lost, (ConnectionResetError, BrokenPipeError))

    run(main())


def test_reset_with_a_full_queue(run, loop, asyncio, tcp_pair, reset):
    async def main():
        protocol, peer = await tcp_pair()
        transport = protocol.transport
        transport.write(bytes(20_000_000))
        assert transport.get_write_buffer_size() > 0
        reset(peer)
        assert isinstance(await protocol.lost, (ConnectionResetError, BrokenPipeError))
        assert transport.get_write_buffer_size() == 0
        assert protocol.calls == ["made", "pause", ("lost", type(protocol.lost.result()))]

    run(main())


def test_reset_after_close(run, loop, asyncio, tcp_pair, reset):
    async def main():
        protocol, peer = await tcp_pair()
        transport = protocol.transport
        transport.write(bytes(20_000_000))
        transport.close()
        assert transport.is_closing()
        reset(peer)
        await protocol.lost
        assert [call for call in protocol.calls if call[0] == "lost"] == [
            ("lost", type(protocol.lost.result()))
        ]

    run(main())


def test_writing_to_a_lost_connection_warns_and_never_raises(run, loop, pair, caplog):
    async def main():
        protocol, _ = await pair()
        transport = protocol.transport
        transport.abort()
        with caplog.at_level(logging.WARNING):
            for _ in range(4):
                transport.write(b"x")
            assert caplog.records == []
            for _ in range(3):
                transport.write(b"x")
        assert [record.getMessage() for record in caplog.records] == ["socket.send() raised exception."] * 3
        await protocol.lost
        transport.write(b"x")
        transport.writelines([b"x"])
        transport.close()
        transport.abort()
        assert not transport.is_reading()

    run(main())


def test_unclosed_transport_warns(run, loop, asyncio, pair):
    async def main():
        protocol, peer = await pair()
        # Registered for reading, the driver keeps it; paused, nobody does.
        protocol.transport.pause_reading()
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            del protocol.transport
            import gc

            gc.collect()
        assert peer.recv(1) == b""

    run(main())
