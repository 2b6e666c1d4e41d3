"""Reading when much comes at a time: what was received is then kept as it is, and every read has to see the same."""

import random
import socket

import pytest

LINES = [bytes([97 + i % 26]) * (i * 7919 % 60_000) + b"\n" for i in range(100)]
DATA = b"".join(LINES)


@pytest.fixture
def feed(loop, asyncio):
    """Read the data from a socket: run `consume(reader)` on a reader to which all of it comes."""

    def feed(consume, data=DATA):
        async def main():
            ours, theirs = socket.socketpair()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            theirs.setblocking(False)
            with theirs:
                reader, writer = await asyncio.open_connection(sock=ours)

                async def send():
                    await loop.sock_sendall(theirs, data)
                    theirs.shutdown(socket.SHUT_WR)

                sending = loop.create_task(send())
                result = await consume(reader)
                writer.close()
                await asyncio.gather(sending, return_exceptions=True)
                return result

        return loop.run_until_complete(main())

    return feed


@pytest.fixture
def loop(asyncio):
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("n", [100, 4096, 65_536, 1 << 20])
def test_read_up_to(feed, n):
    async def consume(reader):
        parts = []
        while part := await reader.read(n):
            assert len(part) <= n
            assert type(part) is bytes
            parts.append(part)
        assert reader.at_eof()
        return b"".join(parts)

    assert feed(consume) == DATA


def test_lines(feed):
    async def consume(reader):
        return [line async for line in reader]

    assert feed(consume) == LINES


@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_reads(feed, seed):
    choose = random.Random(seed)

    async def consume(reader):
        parts = []
        while not reader.at_eof() and sum(map(len, parts)) < len(DATA):
            left = len(DATA) - sum(map(len, parts))
            match choose.randrange(5):
                case 0:
                    parts.append(await reader.read(choose.choice([1, 1000, 200_000])))
                case 1:
                    n = min(left, choose.choice([1, 1000, 200_000]))
                    parts.append(await reader.readexactly(n))
                    assert len(parts[-1]) == n
                case 2:
                    parts.append(await reader.readline())
                    assert parts[-1].endswith(b"\n")
                case 3:
                    parts.append(await reader.readuntil(b"\n"))
                case 4:
                    # What is buffered can be looked at, and stays where it is.
                    held = bytes(reader._buffer)
                    parts.append(await reader.read(10))
                    assert not held or parts[-1] == held[:10]
        return b"".join(parts)

    assert feed(consume) == DATA


def test_readexactly_all(feed):
    async def consume(reader):
        return await reader.readexactly(len(DATA))

    assert feed(consume) == DATA


def test_an_overlong_line_after_others(feed):
    long = b"x" * 300_000 + b"\n"

    async def consume(reader):
        seen = []
        while not reader.at_eof():
            try:
                seen.append(await reader.readline())
            except ValueError:
                seen.append(None)
        return seen

    seen = feed(consume, DATA + long + b"end\n")
    assert seen[: len(LINES)] == LINES
    assert None in seen[len(LINES) :]


@pytest.mark.parametrize("size", [65_536, 65_537])
def test_back_pressure_holds(feed, asyncio, size):
    """A reader that does not read is not fed without end."""
    most = []

    async def consume(reader):
        count = 0
        while part := await reader.read(size):
            count += len(part)
            for _ in range(8):
                await asyncio.sleep(0)
            most.append(len(reader._buffer))
        return count

    assert feed(consume, DATA) == len(DATA)
    # Twice the limit, and at most one more read beyond it.
    assert max(most) <= 2 * 65_536 + 256 * 1024
