"""write(): order, partial writes, back-pressure, and what may be written."""

import array
import socket

import pytest


async def receive(loop, peer, total):
    data = bytearray()
    while len(data) < total:
        chunk = await loop.sock_recv(peer, 1 << 20)
        assert chunk, f"the end came after {len(data)} of {total} bytes"
        data += chunk
    return bytes(data)


def test_small_and_large_writes_stay_in_order(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        transport = protocol.transport
        chunks = [
            bytes([i % 251]) * size
            for i, size in enumerate([1, 10, 70_000, 3, 300_000, 0, 1, 200, 5_000_000, 9])
        ]
        for i, chunk in enumerate(chunks):
            data = [chunk, bytearray(chunk), memoryview(chunk)][i % 3]
            transport.write(data)
        transport.writelines([b"a", bytearray(b"b"), memoryview(b"c"), b""])
        expected = b"".join(chunks) + b"abc"
        assert await receive(loop, peer, len(expected)) == expected
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await protocol.lost

    run(main())


def test_a_buffer_may_be_reused_after_write(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        buffer = bytearray(b"first")
        protocol.transport.write(buffer)
        buffer[:] = b"other and longer"
        assert await receive(loop, peer, 5) == b"first"
        protocol.transport.abort()
        await protocol.lost

    run(main())


def test_written_while_the_loop_does_not_run(run, loop, asyncio, pair):
    protocol, peer = run(pair())
    protocol.transport.write(b"at once")
    assert peer.recv(100) == b"at once"
    protocol.transport.close()
    run(asyncio.wait_for(protocol.lost, 20))


def test_pause_and_resume_once_per_crossing(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        transport = protocol.transport
        transport.set_write_buffer_limits(high=100_000, low=10_000)
        assert transport.get_write_buffer_limits() == (10_000, 100_000)
        while "pause" not in protocol.calls:
            transport.write(bytes(50_000))
        assert transport.get_write_buffer_size() > 100_000
        transport.write(bytes(50_000))
        assert protocol.calls == ["made", "pause"]
        pending = transport.get_write_buffer_size()
        peer.setblocking(False)
        while "resume" not in protocol.calls:
            try:
                peer.recv(1 << 16)
            except BlockingIOError:
                protocol.changed.clear()
                await protocol.changed.wait()
        assert transport.get_write_buffer_size() <= 10_000 < pending
        assert protocol.calls == ["made", "pause", "resume"]
        transport.abort()
        await protocol.lost

    run(main())


def test_what_the_kernel_takes_never_pauses(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        transport = protocol.transport
        transport.set_write_buffer_limits(high=0)
        for _ in range(20):
            transport.write(b"x" * 10)
        assert protocol.calls == ["made"]
        assert transport.get_write_buffer_size() == 0
        assert peer.recv(1000) == b"x" * 200
        transport.abort()
        await protocol.lost

    run(main())


@pytest.mark.parametrize(("high", "low"), [(10, 11), (1, -1), (-1, None)])
def test_bad_limits(run, pair, high, low):
    async def main():
        protocol, _ = await pair()
        with pytest.raises(ValueError, match=r"must be >= low"):
            protocol.transport.set_write_buffer_limits(high, low)
        protocol.transport.abort()
        await protocol.lost

    run(main())


@pytest.mark.parametrize("data", ["text", 1, None, [b"x"], array.array("b", b"x")])
def test_what_is_not_bytes_is_refused(run, pair, data):
    async def main():
        protocol, _ = await pair()
        with pytest.raises(TypeError, match=r"must be a bytes(-like|, bytearray, or memoryview) object"):
            protocol.transport.write(data)
        protocol.transport.abort()
        await protocol.lost

    run(main())


def test_close_sends_what_is_queued(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        protocol.transport.write(bytes(3_000_000))
        protocol.transport.close()
        assert protocol.calls[-1] != ("lost", type(None))
        await receive(loop, peer, 3_000_000)
        assert await loop.sock_recv(peer, 1) == b""
        assert await protocol.lost is None

    run(main())


def test_abort_drops_what_is_queued(run, loop, pair):
    async def main():
        protocol, peer = await pair()
        protocol.transport.write(bytes(3_000_000))
        protocol.transport.abort()
        assert protocol.transport.get_write_buffer_size() == 0
        assert await protocol.lost is None

    run(main())


def test_connection_lost_comes_after_callbacks_scheduled_before_close(run, loop, pair):
    async def main():
        protocol, _ = await pair()
        loop.call_soon(protocol.note, "before")
        protocol.transport.write(b"x")
        protocol.transport.close()
        loop.call_soon(protocol.note, "after")
        await protocol.lost
        await protocol.until(lambda p: "after" in p.calls)
        assert protocol.calls == ["made", "before", ("lost", type(None)), "after"]

    run(main())


def test_writing_in_resume_writing(run, loop, pair, recorder):
    class Greedy(recorder):
        def resume_writing(self):
            super().resume_writing()
            if self.calls.count("resume") < 5:
                self.transport.write(b"y" * 3_000_000)

    async def main():
        protocol, peer = await pair(Greedy)
        protocol.transport.write(b"y" * 3_000_000)
        assert await receive(loop, peer, 15_000_000) == b"y" * 15_000_000
        protocol.transport.close()
        await protocol.lost
        assert protocol.calls.count("pause") == protocol.calls.count("resume") == 5

    run(main())


@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
def test_a_protocol_that_goes_on_when_it_is_resumed(run, loop, asyncio, recorder, end):
    """What `resume_writing()` writes may go out in the same call; what it ends has to end."""
    block = b"x" * 100_000
    blocks = 60

    async def main():
        class Source(recorder):
            written = 0
            paused = False

            def pause_writing(self):
                self.paused = True

            def resume_writing(self):
                self.paused = False
                while not self.paused and self.written < blocks:
                    self.transport.write(block)
                    self.written += 1
                if self.written == blocks:
                    self.written += 1
                    getattr(self.transport, end)()

        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            _, source = await loop.create_connection(Source, sock=ours)
            source.resume_writing()
            received = 0
            while data := await loop.sock_recv(theirs, 1 << 20):
                received += len(data)
            if end == "abort":
                assert received < blocks * len(block)
            else:
                assert received == blocks * len(block)
            source.transport.abort()
            await source.lost
            assert source.transport.get_write_buffer_size() == 0

    run(main())
