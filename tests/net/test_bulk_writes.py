"""A protocol that writes as much as it may, for as long as it may: everything arrives, and back-pressure holds."""

import random
import socket

import pytest

HIGH = 64 * 1024
"""asyncio's own mark."""


@pytest.fixture
def pourer(asyncio, recorder):
    """A protocol class that writes blocks until it is paused, and goes on when it is resumed."""

    class Pourer(recorder):
        paused = False

        def begin(self, blocks, high=HIGH):
            self.blocks = iter(blocks)
            self.written = bytearray()
            self.most = high

        def pause_writing(self):
            super().pause_writing()
            self.paused = True

        def resume_writing(self):
            super().resume_writing()
            self.paused = False
            self.pour()

        def pour(self):
            while not self.paused:
                block = next(self.blocks, None)
                if block is None:
                    self.finish()
                    return
                self.written += block
                self.transport.write(block)
                if not self.paused:
                    # A protocol that is not told to pause is not over the mark.
                    assert self.transport.get_write_buffer_size() <= self.most

        def finish(self):
            # Not at once: asyncio calls connection_lost() twice where resume_writing() closes (3.13.0).
            asyncio.get_running_loop().call_soon(self.transport.close)

    return Pourer


def blocks_of(seed, kinds):
    rng = random.Random(seed)
    for _ in range(400):
        size = rng.choice([1, 100, 5_000, 30_000, 33_000, 65_536, 65_537, 200_000, 300_000])
        yield rng.choice(kinds)(rng.randbytes(size))


async def receive_all(loop, peer, seed):
    rng = random.Random(seed)
    data = bytearray()
    while chunk := await loop.sock_recv(peer, rng.choice([1_000, 100_000, 1 << 20])):
        data += chunk
    return data


@pytest.mark.parametrize("over", ["tcp", "unix"])
@pytest.mark.parametrize("kinds", [(bytes,), (bytes, bytearray)], ids=["bytes", "mixed"])
@pytest.mark.parametrize("seed", range(3))
def test_everything_arrives_in_order(clean_run, loop, pair, tcp_pair, pourer, over, kinds, seed):
    async def main():
        protocol, peer = await (tcp_pair if over == "tcp" else pair)(pourer)
        protocol.begin(blocks_of(seed, kinds))
        protocol.pour()
        assert await receive_all(loop, peer, seed) == protocol.written
        assert "pause" in protocol.calls
        await protocol.lost

    clean_run(main())


@pytest.mark.parametrize("high", [0, 1, 40_000, 100_000, 1_000_000])
def test_a_mark_that_was_set_is_kept(clean_run, loop, pair, pourer, high):
    async def main():
        protocol, peer = await pair(pourer)
        protocol.transport.set_write_buffer_limits(high=high)
        protocol.begin(blocks_of(high, (bytes,)), high)
        protocol.pour()
        assert await receive_all(loop, peer, high) == protocol.written
        await protocol.lost

    clean_run(main())


def test_the_end_comes_after_what_was_written(clean_run, loop, pair, pourer):
    async def main():
        protocol, peer = await pair(pourer)
        protocol.finish = lambda: protocol.transport.write_eof()
        protocol.begin([b"x" * 65_536] * 2)
        # Both of it, the end as well, before the loop has had a turn.
        protocol.pour()
        assert await receive_all(loop, peer, 0) == protocol.written
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_everything_is_sent_for_a_loop_that_does_not_run(loop, run, pair, pourer):
    async def begin():
        return await pair(pourer)

    protocol, peer = run(begin())
    peer.setblocking(True)
    for _ in range(2):
        protocol.transport.write(b"x" * 40_000)
    received = 0
    while received < 80_000:
        received += len(peer.recv(1 << 20))
    protocol.transport.abort()
    run(protocol.lost)


def test_a_peer_that_is_gone(clean_run, tcp_pair, pourer):
    async def main():
        protocol, peer = await tcp_pair(pourer)
        protocol.begin([b"x" * 65_536] * 2_000)
        protocol.pour()
        assert protocol.paused
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        assert isinstance(await protocol.lost, ConnectionError)

    clean_run(main())
