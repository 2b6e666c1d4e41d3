"""write() and writelines(): from any callback, of any buffer, against a slow peer; flow control."""

import array
import socket

import pytest
from peer import APPLICATION_DATA, records

BIG = bytes(range(256)) * 20_000
KIB = 1024


def test_an_echo_from_data_received(clean_run, asyncio, connect, end, recorder, side, version):
    class Echo(recorder):
        def data_received(self, data):
            self.transport.write(data)

    async def main():
        protocol, peer = await connect(side, version, Echo)
        reading = asyncio.ensure_future(peer.read_exactly(len(BIG)))
        await peer.write(BIG)
        assert await reading == BIG
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("most", [1, 7, 500, 16 * KIB, 17 * KIB])
def test_a_peer_that_reads_a_few_bytes_at_a_time(clean_run, connect, side, version, most):
    """And whose kernel takes little at once, so that records leave in parts."""
    data = BIG[: min(len(BIG), most * 2000)]

    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        protocol.transport.write(data)
        assert await peer.read_exactly(len(data), most) == data
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_many_small_writes_arrive_in_order(clean_run, connect, end, side, version):
    pieces = [b"%d " % number for number in range(5000)]

    async def main():
        protocol, peer = await connect(side, version)
        for piece in pieces:
            protocol.transport.write(piece)
        joined = b"".join(pieces)
        assert await peer.read_exactly(len(joined)) == joined
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("size", [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 3 * 16 * KIB + 5])
@pytest.mark.parametrize("how", ["write", "writelines"])
def test_sizes_about_a_record(clean_run, connect, end, side, version, size, how):
    data = BIG[:size]

    async def main():
        protocol, peer = await connect(side, version)
        if how == "write":
            protocol.transport.write(data)
        else:
            protocol.transport.writelines([data[: size // 3], b"", data[size // 3 :]])
        protocol.transport.write(b"!")
        assert await peer.read_exactly(size + 1) == data + b"!"
        await end(protocol, peer)

    clean_run(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_can_be_written(clean_run, connect, end, side, version, kind):
    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.write(kind(b"abc"))
        protocol.transport.writelines(kind(data) for data in (b"de", b"", b"f"))
        assert await peer.read_exactly(6) == b"abcdef"
        await end(protocol, peer)

    clean_run(main())


def test_what_can_not_be_written(clean_run, connect, end, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        for data, name in (("text", "str"), (5, "int"), (None, "NoneType"), (array.array("b"), "array")):
            with pytest.raises(TypeError) as raised:
                protocol.transport.write(data)
            assert str(raised.value) == f"data: expecting a bytes-like instance, got {name}"
        with pytest.raises(TypeError):
            protocol.transport.writelines(None)
        protocol.transport.write(b"unharmed")
        assert await peer.read_exactly(8) == b"unharmed"
        await end(protocol, peer)

    clean_run(main())


def test_nothing_writes_nothing(clean_run, connect, end, polled, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        if side == "server":
            # Tickets come first.
            protocol.transport.write(b"x")
            await peer.read_exactly(1)
        await polled()
        for data in (b"", bytearray(), memoryview(b"")):
            protocol.transport.write(data)
        protocol.transport.writelines([])
        protocol.transport.writelines(iter([]))
        await polled()
        with pytest.raises(BlockingIOError):
            peer.sock.recv(1)
        assert protocol.transport.get_write_buffer_size() == 0
        await end(protocol, peer)

    clean_run(main())


def test_a_bytearray_that_changes_after_the_write(clean_run, connect, side, version):
    """What was written is what it held then, though most of it waits; and it can be resized at once."""

    async def main():
        protocol, peer = await connect(side, version)
        expected = bytearray()
        for number in range(6):
            data = bytearray([number]) * 300_000
            view = memoryview(data)
            expected += data
            if number % 2:
                protocol.transport.write(data)
            else:
                protocol.transport.writelines([view, b""])
            data[:] = b"?" * len(data)
            view.release()
            data.clear()
            data += b"grown again"
        assert await peer.read_exactly(len(expected)) == expected
        protocol.transport.abort()
        await protocol.lost

    clean_run(main())


def test_flow_control(clean_run, connect, polled, end, side, version):
    """pause_writing() at the high-water mark, resume_writing() at the low one; what waits is counted."""

    async def main():
        protocol, peer = await connect(side, version)
        transport = protocol.transport
        low, high = transport.get_write_buffer_limits()
        assert (low, high) == (128 * KIB, 512 * KIB)
        written = 0
        # The kernel and the transport below take what they can first.
        while transport.get_write_buffer_size() == 0:
            transport.write(bytes(100_000))
            written += 100_000
        assert protocol.calls == ["made"]
        while "pause" not in protocol.calls:
            before = transport.get_write_buffer_size()
            assert before < high
            transport.write(bytes(1000))
            written += 1000
            # Not yet encrypted, or encrypted: in either case as much as was written, or a little more.
            assert 1000 <= transport.get_write_buffer_size() - before <= 1100
        assert transport.get_write_buffer_size() >= high
        transport.write(b"more")
        assert await peer.read_exactly(written + 4) == bytes(written) + b"more"
        await protocol.until(lambda protocol: "resume" in protocol.calls)
        await polled()
        assert protocol.calls == ["made", "pause", "resume"]
        assert transport.get_write_buffer_size() == 0
        await end(protocol, peer)

    clean_run(main())


def test_resume_writing_writes(clean_run, connect, end, recorder, side, version):
    """Each time that it may write, it writes what makes it stop again."""
    rounds = 5
    piece = BIG[:2_000_000]

    class Pumping(recorder):
        left = rounds

        def resume_writing(self):
            super().resume_writing()
            self.pump()

        def pump(self):
            while self.left and self.calls[-1] != "pause":
                self.left -= 1
                self.transport.write(piece)

    async def main():
        protocol, peer = await connect(side, version, Pumping)
        protocol.transport.set_write_buffer_limits(high=1, low=0)
        protocol.pump()
        assert await peer.read_exactly(rounds * len(piece)) == rounds * piece
        assert protocol.calls.count("pause") in (
            protocol.calls.count("resume"),
            protocol.calls.count("resume") + 1,
        )
        await end(protocol, peer)

    clean_run(main())


def test_pause_writing_writes_and_aborts(clean_run, connect, recorder, side, version):
    class GivingUp(recorder):
        def pause_writing(self):
            super().pause_writing()
            self.transport.write(b"one more")
            self.transport.abort()
            self.transport.write(b"into nothing")

    async def main():
        protocol, _ = await connect(side, version, GivingUp)
        for _ in range(50):
            protocol.transport.write(bytes(100_000))
        assert await protocol.lost is None
        assert protocol.calls == ["made", "pause", ("lost", type(None))]

    clean_run(main())


def test_limits(clean_run, connect, end, side, version):
    async def main():
        protocol, peer = await connect(side, version)
        transport = protocol.transport
        for arguments, limits in (
            ({"high": 400}, (100, 400)),
            ({"low": 100}, (100, 400)),
            ({"high": 5, "low": 3}, (3, 5)),
            ({"high": 0}, (0, 0)),
            ({}, (128 * KIB, 512 * KIB)),
        ):
            transport.set_write_buffer_limits(**arguments)
            assert transport.get_write_buffer_limits() == limits
        for high, low in ((5, 6), (5, -1), (-1, None)):
            with pytest.raises(ValueError, match=r"high \(.*\) must be >= low \(.*\) must be >= 0"):
                transport.set_write_buffer_limits(high, low)
        assert transport.get_read_buffer_limits() == (64 * KIB, 256 * KIB)
        transport.set_read_buffer_limits(high=400)
        assert transport.get_read_buffer_limits() == (100, 400)
        with pytest.raises(ValueError, match="must be >= low"):
            transport.set_read_buffer_limits(5, 6)
        assert transport.get_read_buffer_size() == 0
        await end(protocol, peer)

    clean_run(main())


def test_limits_take_hold_at_once(clean_run, connect, side, version):
    async def main():
        protocol, _ = await connect(side, version)
        transport = protocol.transport
        transport.set_write_buffer_limits(high=10_000_000)
        while transport.get_write_buffer_size() < 1000:
            transport.write(bytes(1000))
        assert protocol.calls == ["made"]
        transport.set_write_buffer_limits(high=100)
        assert protocol.calls == ["made", "pause"]
        transport.set_write_buffer_limits(high=20_000_000, low=10_000_000)
        assert protocol.calls == ["made", "pause", "resume"]
        transport.abort()
        await protocol.lost

    clean_run(main())


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_the_protocols_flow_control_raises(run, connect, recorder, side, version, method):
    """The exception handler is told, and the connection goes on."""

    class Failing(recorder):
        pass

    def failing(self):
        raise LookupError("on purpose")

    setattr(Failing, method, failing)

    async def main():
        protocol, peer = await connect(side, version, Failing)
        protocol.transport.set_write_buffer_limits(high=1, low=0)
        written = 0
        while not protocol.transport.get_write_buffer_size():
            protocol.transport.write(bytes(100_000))
            written += 100_000
        protocol.transport.write(b"!")
        assert await peer.read_exactly(written + 1) == bytes(written) + b"!"
        if method == "resume_writing":
            while not run.reported:
                protocol.transport.write(b"x")
                await peer.read_exactly(1)
        context = run.reported[0]
        assert context["message"] == f"protocol.{method}() failed"
        assert type(context["exception"]) is LookupError
        assert context["transport"] is protocol.transport
        assert type(context["protocol"]).__name__ == "SSLProtocol"
        protocol.transport.abort()
        await protocol.lost

    run(main())


def test_large_writes_fill_their_records(clean_run, connect, side, version):
    """A record holds 16 KiB: bulk data does not go out in small ones."""

    async def main():
        protocol, peer = await connect(side, version)
        protocol.transport.write(BIG)
        before = len(peer.on_the_wire)
        assert await peer.read_exactly(len(BIG)) == BIG
        protocol.transport.abort()
        await protocol.lost
        sent = [length for kind, length in records(peer.on_the_wire[before:]) if kind == APPLICATION_DATA]
        # 2: tickets.
        assert len(sent) <= len(BIG) // (16 * KIB) + 1 + 2

    clean_run(main())
