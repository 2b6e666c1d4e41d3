"""A connection that answers in one way each time, with one write or with two, and then does otherwise.

What a loop has learned of it may decide when bytes are sent. Nothing may hang on that: not the order, not who owns the
bytes, not the back-pressure, not what becomes of errors.
"""

import socket
import time

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


@pytest.fixture(params=[1, 2], ids=["once", "twice"])
def answering(request, recorder, tcp_pair):
    """A coroutine function that gives a protocol, which has answered often enough in the same way, and its peer.

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
        protocol.answer = (answer_once, answer_twice)[request.param - 1]
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


def answer_once(protocol, data):
    protocol.transport.write(data)


def answer_twice(protocol, data):
    protocol.transport.write(data[:1])
    protocol.transport.write(data[1:])


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


@pytest.fixture
def held(impl, asyncio, monkeypatch):
    """A function that runs a server in a loop of its own: what its peers have received after each write of a round.

    `held(rounds, setting)` takes for each connection a list of rounds; each round is how many writes it makes, or a
    callable that is called with the transport and makes them.
    """
    if impl == "stock":
        pytest.skip("asyncio holds nothing back")

    class Answering(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.rounds.append([])
            self.answer(self)
            self.answered.set()

        def write(self):
            self.transport.write(b"x")
            try:
                self.rounds[-1].append(self.peer.recv(100))
            except BlockingIOError:
                self.rounds[-1].append(b"")

    def held(connections, setting="auto"):
        monkeypatch.setenv("FERRIO_GATHER_WRITES", setting)

        async def main():
            loop = asyncio.get_running_loop()
            made = asyncio.Queue()
            server = await loop.create_server(
                lambda: made.put_nowait(protocol := Answering()) or protocol, "127.0.0.1", 0
            )
            seen = []
            for rounds in connections:
                with socket.create_connection(server.sockets[0].getsockname()) as peer:
                    peer.setblocking(False)
                    protocol = await made.get()
                    protocol.peer, protocol.rounds, protocol.answered = peer, [], asyncio.Event()
                    for answer in rounds:
                        protocol.answer = answer if callable(answer) else _writes(answer)
                        protocol.answered.clear()
                        await loop.sock_sendall(peer, b"?")
                        await protocol.answered.wait()
                        # The turn in which it was written is over.
                        await asyncio.sleep(0)
                        late = _arrived(peer)
                        protocol.rounds[-1].append(late)
                    protocol.transport.abort()
                seen.append(protocol.rounds)
            server.close()
            await server.wait_closed()
            return seen

        return asyncio.run(main())

    return held


def _arrived(peer):
    try:
        return peer.recv(100)
    except BlockingIOError:
        return b""


def _writes(count):
    def answer(protocol):
        for _ in range(count):
            protocol.write()

    return answer


AT_ONCE = [b"x", b"x", b""]
TOGETHER = [b"", b"", b"xx"]


def sometimes(expected, seen):
    """What `seen()` gives is *expected* at last: a machine with other things to do can make any round a slow one."""
    for _ in range(20):
        if (last := seen()) == expected:
            return
    assert last == expected


def test_two_writes_of_a_round_go_out_together_after_eight(held):
    sometimes([[AT_ONCE] * 8 + [TOGETHER] * 12], lambda: held([[2] * 20]))


def test_one_write_is_never_held_where_it_is_the_rule(held):
    [rounds] = held([[1] * 20])
    assert rounds == [[b"x", b""]] * 20


def test_a_round_of_one_write_ends_the_habit(held):
    expected = [AT_ONCE] * 8 + [TOGETHER] + [[b"", b"x"]] + [AT_ONCE] * 8 + [TOGETHER]
    sometimes([expected], lambda: held([[2] * 9 + [1] + [2] * 9]))


def test_the_connections_of_a_server_learn_together(held):
    sometimes([[AT_ONCE] * 8, [TOGETHER], [TOGETHER] * 2], lambda: held([[2] * 8, [2], [2, 2]]))
    sometimes([[AT_ONCE]] * 8 + [[TOGETHER]] * 2, lambda: held([[2]] * 10))


def test_a_step_that_works_on_ends_the_habit(held):
    """For the connections of the same server too."""

    def slow(protocol):
        protocol.write()
        time.sleep(0.002)  # the work: longer than a step may take
        protocol.write()

    expected = [[AT_ONCE] * 8 + [TOGETHER] + [AT_ONCE] * 100, [AT_ONCE] * 20]
    sometimes(expected, lambda: held([[2] * 8 + [slow] + [2] * 100, [2] * 20]))


def test_nothing_is_held_where_it_is_switched_off(held):
    [rounds] = held([[2] * 40], "0")
    assert rounds == [AT_ONCE] * 40


def test_the_whole_turn_is_gathered_where_that_is_asked_for(held):
    [rounds] = held([[1, 2, 3]], "1")
    assert rounds == [[b"", b"x"], TOGETHER, [b"", b"", b"", b"xxx"]]
