"""A connection that answers with one write each time, and then does otherwise.

Alone at work, a loop may take what it is used to for what comes, and send a write at once. Nothing may hang on that:
not the order, not who owns the bytes, not the back-pressure, not what becomes of errors.
"""

import socket

import pytest

# More answers than any loop needs to get used to them.
USED = 32


def received(peer, count):
    """What comes in at a peer that blocks, until it is `count` bytes."""
    data = bytearray()
    while len(data) < count:
        chunk = peer.recv(count - len(data))
        assert chunk, f"the end came after {len(data)} of {count} bytes"
        data += chunk
    return bytes(data)


@pytest.fixture
def answering(recorder, tcp_pair):
    """A coroutine function that gives a protocol, which has answered with one write often enough, and its peer.

    Its next answer is what `answer(protocol, data)` does.
    """

    async def answering(answer):
        class Answering(recorder):
            def data_received(self, data):
                self.answer(self, data)
                super().data_received(data)

            def answer(self, data):
                raise AssertionError("is set on the instance")

        protocol, peer = await tcp_pair(Answering)
        protocol.answer = lambda protocol, data: protocol.transport.write(data)
        for number in range(USED):
            message = number.to_bytes(2, "big")
            await ask(protocol, peer, message)
            peer.setblocking(True)
            peer.settimeout(20)
            assert received(peer, 2) == message
        protocol.answer = answer
        protocol.data = b""
        return protocol, peer

    return answering


async def ask(protocol, peer, message):
    """Send, and wait until `data_received()` has returned."""
    protocol.data = b""
    peer.send(message)
    await protocol.until(lambda protocol: protocol.data == message)


def test_what_is_written_after_the_first_write_comes_after_it(clean_run, answering):
    def answer(protocol, data):
        for part in (data, bytearray(b"b" * 100), memoryview(b"c" * 40_000), b"d", b"e" * 200_000, b"f"):
            protocol.transport.write(part)
        protocol.transport.writelines([b"g", b"h"])

    async def main():
        protocol, peer = await answering(answer)
        expected = b"a" + b"b" * 100 + b"c" * 40_000 + b"d" + b"e" * 200_000 + b"fgh"
        for _ in range(3):
            await ask(protocol, peer, b"a")
            assert received(peer, len(expected)) == expected
        protocol.transport.close()
        await protocol.lost

    clean_run(main())


def test_the_second_write_of_a_turn_waits_for_its_end_again(clean_run, answering):
    """Who begins to write head and body apart is back to one segment for both after the first time."""
    waiting = []

    def answer(protocol, data):
        for part in (b"head", b"body"):
            protocol.transport.write(part)
            waiting.append(protocol.transport.get_write_buffer_size())

    async def main():
        protocol, peer = await answering(answer)
        for _ in range(3):
            await ask(protocol, peer, b"a")
            assert received(peer, 8) == b"headbody"
        protocol.transport.close()
        await protocol.lost

    clean_run(main())
    assert waiting == [0, 4, 4, 8, 4, 8]


def test_a_buffer_is_the_programs_own_again_after_the_write(clean_run, answering):
    def answer(protocol, data):
        buffer = bytearray(data)
        protocol.transport.write(buffer)
        buffer[:] = b"something else, and longer"

    async def main():
        protocol, peer = await answering(answer)
        await ask(protocol, peer, b"abc")
        assert received(peer, 3) == b"abc"
        protocol.transport.close()
        await protocol.lost

    clean_run(main())


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_what_the_kernel_does_not_take_is_queued(clean_run, loop, answering, kind):
    """A write to a full socket is kept, counts for the back-pressure, and arrives."""
    blocks = []

    def fill(protocol, data):
        # One block per turn, so that each is a turn's only write.
        block = kind(len(blocks).to_bytes(4, "big") * 4096)
        blocks.append(block)
        protocol.transport.write(block)

    async def main():
        protocol, peer = await answering(fill)
        ours = protocol.transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        protocol.transport.set_write_buffer_limits(high=64 * 1024)
        while "pause" not in protocol.calls:
            assert len(blocks) < 10_000, "never paused"
            await ask(protocol, peer, b"x")
        assert protocol.transport.get_write_buffer_size() > 64 * 1024
        expected = b"".join(blocks)
        got = bytearray()
        peer.setblocking(False)
        while len(got) < len(expected):
            got += await loop.sock_recv(peer, 1 << 20)
        assert bytes(got) == expected
        await protocol.until(lambda protocol: "resume" in protocol.calls)
        assert protocol.transport.get_write_buffer_size() == 0
        protocol.transport.close()
        await protocol.lost

    clean_run(main())


def test_an_error_ends_the_connection_and_is_not_raised(run, answering, reset):
    def answer(protocol, data):
        reset(protocol.peer)
        protocol.transport.write(b"to nobody")
        protocol.note("written")

    async def main():
        protocol, peer = await answering(answer)
        protocol.peer = peer
        peer.send(b"x")
        exc = await protocol.lost
        assert isinstance(exc, OSError)
        assert "written" in protocol.calls
        assert protocol.calls.count(("lost", type(exc))) == 1

    run(main())


def test_close_right_after_the_write_loses_nothing(clean_run, answering):
    def answer(protocol, data):
        protocol.transport.write(b"the end")
        protocol.transport.close()

    async def main():
        protocol, peer = await answering(answer)
        peer.send(b"x")
        assert await protocol.lost is None
        assert received(peer, 7) == b"the end"
        assert peer.recv(1) == b""

    clean_run(main())


def test_streams_answer_in_order_as_well(clean_run, asyncio):
    """The same for a task that writes and drains."""

    async def main():
        served, ended = asyncio.Event(), asyncio.Event()

        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line)
                if line == b"twice\n":
                    writer.write(b"and again\n")
                await writer.drain()
                served.set()
            writer.close()
            await writer.wait_closed()
            ended.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        peer = socket.create_connection(server.sockets[0].getsockname())
        with peer:
            peer.settimeout(20)

            async def answer(line, expected):
                served.clear()
                peer.send(line)
                await asyncio.wait_for(served.wait(), 20)
                assert received(peer, len(expected)) == expected

            for number in range(USED):
                await answer(b"%d\n" % number, b"%d\n" % number)
            for _ in range(3):
                await answer(b"twice\n", b"twice\nand again\n")
        await asyncio.wait_for(ended.wait(), 20)
        server.close()
        await server.wait_closed()

    clean_run(main())
