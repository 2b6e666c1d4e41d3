"""What the protocol is given: whole, in order, however the ciphertext was cut; nothing while it has paused."""

import random
import ssl

import contexts
import pytest
import random_scripts
from peer import MOST_IN_A_RECORD, RECORD_HEADER

DATA = random.Random(15).randbytes(17 * 1024)
KIB = 1024

SIZES = [1, 2, 3, 5, 16, 1000, 4096, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 17 * KIB]


def cuts(length):
    """Where a message of 17 KiB, a whole record and a short one, is cut in two: near each end of a record, and here
    and there between. `FERRIO_EXAMPLES` asks for as many of those."""
    ends = {0, RECORD_HEADER, MOST_IN_A_RECORD, MOST_IN_A_RECORD + 2 * RECORD_HEADER, length}
    near = {end + step for end in ends for step in range(-3, 30)}
    between = random.Random(1).sample(range(1, length), min(length - 1, random_scripts.examples(60)))
    return sorted(cut for cut in near | set(between) if 0 < cut < length)


def test_a_message_cut_in_two_anywhere(clean_run, connect, end, polled, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        for cut in cuts(len(DATA) + 60):
            ciphertext = peer.encrypted(DATA)
            await peer.send(ciphertext[:cut])
            await polled()
            # Nothing of a record may be seen before its end has come.
            assert len(protocol.data) in (0, MOST_IN_A_RECORD, len(DATA))
            await peer.send(ciphertext[cut:])
            assert await protocol.receive(len(DATA)) == DATA
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("size", SIZES)
def test_ciphertext_in_pieces(clean_run, connect, end, polled, side, version, size):
    """Three messages, of which the middle one is longer than a record, in pieces of *size* bytes."""
    data = DATA[: min(len(DATA), size * 200)]

    async def main():
        protocol, peer = await connect(side, version)
        messages = [data[:10], data, data[-5:]]
        ciphertext = b"".join(map(peer.encrypted, messages))
        for start in range(0, len(ciphertext), size):
            await peer.send(ciphertext[start : start + size])
            await polled()
        plain = b"".join(messages)
        assert await protocol.receive(len(plain)) == plain
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("size", SIZES)
def test_small_records_and_large_ones(clean_run, connect, end, side, version, size):
    """Records of *size* bytes, as many as there are at once."""

    async def main():
        protocol, peer = await connect(side, version)
        count = max(3, min(500, 100_000 // size))
        await peer.send(b"".join(peer.encrypted(DATA[:size]) for _ in range(count)))
        assert await protocol.receive(size * count) == DATA[:size] * count
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("size", SIZES)
def test_a_buffered_protocol(clean_run, connect, end, buffered, side, version, size):
    """It offers *size* bytes at a time."""
    data = DATA[: min(len(DATA), size * 1000)]

    async def main():
        protocol, peer = await connect(side, version, buffered(size))
        for _ in range(3):
            await peer.write(data)
            assert await protocol.receive(len(data)) == data
        await peer.write(data * 3)
        assert await protocol.receive(len(data) * 3) == data * 3
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("size", [1000, 16 * KIB + 1])
def test_a_buffer_that_is_a_bytearray(clean_run, impl, connect, end, buffered, side, version, size):
    """Or anything else with the buffer protocol: what is left of it after the first record is still its own memory."""
    if impl == "stock":
        pytest.skip("stock fills what it has sliced off the buffer, and a slice of a bytearray is a copy")

    class Plain(buffered(size)):
        def get_buffer(self, sizehint):
            self.offered = bytearray(size)
            return self.offered

    async def main():
        protocol, peer = await connect(side, version, Plain)
        await peer.send(b"".join(peer.encrypted(DATA[:300]) for _ in range(100)))
        assert await protocol.receive(30_000) == DATA[:300] * 100
        await end(protocol, peer)

    clean_run(main())


def test_a_buffered_protocol_and_the_end(clean_run, connect, buffered, side, version):
    """A close_notify behind more than its buffer holds."""

    async def main():
        protocol, peer = await connect(side, version, buffered(10))
        data = peer.encrypted(b"x" * 35)
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.unwrap()
        await peer.send(data + peer.outgoing.read())
        assert await protocol.lost is None
        assert protocol.data == b"x" * 35
        assert protocol.calls == ["made", "data", "eof", ("lost", type(None))]

    clean_run(main())


@pytest.mark.parametrize("fault", ["raises", "no buffer"])
def test_a_buffered_protocol_with_a_fault(run, asyncio, begin, buffered, side, version, fault):
    """The connection ends with the exception, and the exception handler is told."""

    class Faulty(buffered(100)):
        def get_buffer(self, sizehint):
            if fault == "raises":
                raise LookupError("on purpose")
            return 5

    async def main():
        connecting, peer = begin(side, version, Faulty)
        # asyncio asks for a buffer as soon as the handshake is done, even if there is nothing to fill it with.
        (_, protocol), _ = await asyncio.gather(connecting, peer.handshake(), return_exceptions=True)
        await asyncio.gather(peer.write(b"abc"), return_exceptions=True)
        assert isinstance(await protocol.lost, LookupError if fault == "raises" else TypeError)
        (context,) = run.reported
        assert context["message"] == "Fatal error on SSL protocol"
        assert protocol.data == b""
        await peer.drain()

    run(main())


def test_another_protocol_of_another_kind(clean_run, connect, end, recorder, buffered, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        transport = protocol.transport
        for kind in (buffered(10), recorder, buffered(20 * KIB), recorder):
            protocol = kind()
            transport.set_protocol(protocol)
            protocol.transport = transport
            assert transport.get_protocol() is protocol
            await peer.write(DATA)
            assert await protocol.receive(len(DATA)) == DATA
        await end(protocol, peer)

    clean_run(main())


def test_pausing(clean_run, connect, end, polled, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        transport = protocol.transport
        assert transport.is_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        transport.pause_reading()
        await peer.write(b"while it has paused")
        await polled()
        assert protocol.data == b""
        transport.resume_reading()
        assert transport.is_reading()
        # Not from within resume_reading().
        assert protocol.data == b""
        assert await protocol.receive(19) == b"while it has paused"
        transport.resume_reading()
        await peer.write(b"and after")
        assert await protocol.receive(9) == b"and after"
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("kind", ["copied", "buffered"])
def test_pausing_at_each_piece(clean_run, connect, end, polled, recorder, buffered, side, version, kind):
    """A pause from within the call holds: nothing more comes, though it has been decrypted."""

    class Pausing(recorder if kind == "copied" else buffered(1000)):
        held = False

        def took(self, data):
            assert not self.held
            super().took(data)
            self.held = True
            self.transport.pause_reading()

    async def main():
        protocol, peer = await connect(side, version, Pausing)
        # A short one first, so that there is something left behind what is taken with it.
        await peer.send(peer.encrypted(b"first") + peer.encrypted(DATA))
        await peer.send(peer.encrypted(DATA))
        total = 5 + 2 * len(DATA)
        while len(protocol.data) < total:
            await protocol.until(lambda protocol: protocol.held)
            await polled()
            protocol.held = False
            protocol.transport.resume_reading()
        assert protocol.data == b"first" + DATA + DATA
        protocol.transport.resume_reading()
        await end(protocol, peer)

    clean_run(main())


def test_a_paused_transport_holds_the_peer_back(clean_run, asyncio, connect, polled, side, version):
    """It reads on up to its own high-water mark, and not what the peer can send."""

    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.pause_reading()
        sending = asyncio.ensure_future(peer.write(bytes(20_000_000)))
        for _ in range(100):
            await polled()
        assert not sending.done()
        high = protocol.transport.get_read_buffer_limits()[1]
        # A read of what the socket has may go over the mark.
        assert protocol.transport.get_read_buffer_size() <= 2 * high
        assert protocol.data == b""
        protocol.transport.resume_reading()
        assert await protocol.receive(20_000_000) == bytes(20_000_000)
        await sending
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_a_pause_and_the_peers_end(clean_run, connect, polled, side, version):
    """What came before the pause's end, and the end itself, wait for resume_reading()."""

    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.pause_reading()
        await peer.write(b"last words")
        await peer.close_notify()
        await polled()
        assert protocol.calls == ["made"]
        protocol.transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"last words"
        assert protocol.calls == ["made", "data", "eof", ("lost", type(None))]
        await peer.drain()

    clean_run(main())


def test_a_pause_and_the_end_of_tcp(clean_run, connect, polled, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.pause_reading()
        await peer.write(b"last words")
        peer.sock.shutdown(1)
        await polled()
        assert protocol.calls == ["made"]
        protocol.transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"last words"
        assert protocol.calls == ["made", "data", "eof", ("lost", type(None))]

    clean_run(main())


def test_a_turn_takes_no_more_than_asyncios(clean_run, asyncio, connect, recorder, side, version):
    """A fast peer gets one read of the socket per turn, so that others have theirs."""
    most = 256 * KIB + 17 * KIB
    turns = []

    class Counting(recorder):
        def data_received(self, data):
            turns[-1] += len(data)
            super().data_received(data)

    async def main():
        loop = asyncio.get_running_loop()
        protocol, peer = await connect(side, version, Counting, tcp=True)
        protocol.transport.pause_reading()
        sending = asyncio.ensure_future(peer.write(bytes(4_000_000)))

        def turn():
            turns.append(0)
            if len(protocol.data) < 4_000_000 and not protocol.lost.done():
                loop.call_soon(turn)

        turn()
        protocol.transport.resume_reading()
        assert await protocol.receive(4_000_000) == bytes(4_000_000)
        await sending
        protocol.transport.abort()
        await protocol.lost
        assert max(turns) <= most

    clean_run(main())


def test_a_switch_of_context_does_not_mix_connections(clean_run, asyncio, connect, version):
    """Thirty connections at once, their records interleaved: each has its own data."""

    async def main():
        client, server = contexts.client_context(version), contexts.server_context(version)
        pairs = await asyncio.gather(
            *(connect("client", ours=client, theirs=server) for _ in range(15)),
            *(connect("server", ours=server, theirs=client) for _ in range(15)),
        )
        for number in range(20):
            for index, (protocol, peer) in enumerate(pairs):
                await peer.write(b"%d:%d;" % (index, number))
                protocol.transport.write(b"%d:%d;" % (index, number))
        for index, (protocol, peer) in enumerate(pairs):
            expected = b"".join(b"%d:%d;" % (index, number) for number in range(20))
            assert await protocol.receive(len(expected)) == expected
            assert await peer.read_exactly(len(expected)) == expected
            protocol.transport.abort()
            await protocol.lost

    clean_run(main())
