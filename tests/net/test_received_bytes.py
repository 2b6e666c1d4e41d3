"""What a program keeps of what it received stays as it was.

A loop may make a `bytes` out of one that nobody refers to any more; nobody is to notice.
"""

import itertools
import socket
import sys

import pytest

SIZES = [1, 2, 64, 512, 513, 1024, 1025, 4096, 4097]


def messages(size):
    """Different messages of that size, without end."""
    return (number.to_bytes(4, "big")[-min(size, 4) :].ljust(size, b".") for number in itertools.count(1))


@pytest.fixture
def by_protocol(recorder, pair):
    """A coroutine function that receives what `send` is given, as `data_received()` gets it."""

    async def by_protocol(take):
        class Taker(recorder):
            count = 0

            def data_received(self, data):
                self.count += 1
                take(data)
                self.changed.set()

        protocol, peer = await pair(Taker)

        async def send(message):
            count = protocol.count
            peer.send(message)
            await protocol.until(lambda protocol: protocol.count > count)

        return send, protocol.transport.close

    return by_protocol


@pytest.fixture
def by_reads(asyncio, loop, pair):
    """The same for what a coroutine function reads from a stream: `receive(reader, peer, message)`."""

    def by_reads(receive):
        async def receiving(take):
            reader = asyncio.StreamReader(loop=loop)
            protocol, peer = await pair(lambda: asyncio.StreamReaderProtocol(reader, loop=loop))

            async def send(message):
                take(await receive(reader, peer, message))

            return send, protocol._transport.close

        return receiving

    return by_reads


@pytest.fixture
def by_read(by_reads):
    """The same, as `StreamReader.read()` answers."""

    async def receive(reader, peer, message):
        peer.send(message)
        return await reader.read(65536)

    return by_reads(receive)


@pytest.fixture
def by_readexactly(by_reads):
    """The same, as `StreamReader.readexactly()` answers while there is more."""

    async def receive(reader, peer, message):
        peer.send(message + b"rest")
        data = await reader.readexactly(len(message))
        assert await reader.readexactly(4) == b"rest"
        return data

    return by_reads(receive)


@pytest.fixture
def by_sock_recv(loop, socketpair):
    """The same, as `sock_recv()` answers."""

    async def by_sock_recv(take):
        ours, peer = socketpair

        async def send(message):
            receiving = loop.create_task(loop.sock_recv(ours, 65536))
            peer.send(message)
            take(await receiving)

        return send, ours.close

    return by_sock_recv


@pytest.fixture
def socketpair():
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(params=["by_protocol", "by_read", "by_readexactly", "by_sock_recv"])
def receiving(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_kept_stays(clean_run, receiving, size):
    async def main():
        kept, expected = [], []
        send, close = await receiving(lambda data: kept.append(data) if number % 3 else None)
        for number, message in enumerate(itertools.islice(messages(size), 200)):
            await send(message)
            if number % 3:
                expected.append(message)
        close()
        assert kept == expected

    clean_run(main())


@pytest.mark.parametrize("size", SIZES)
def test_views_of_what_was_dropped_stay(clean_run, receiving, size):
    async def main():
        views, expected = [], []
        send, close = await receiving(lambda data: views.append(memoryview(data)))
        for message in itertools.islice(messages(size), 20):
            await send(message)
            expected.append(message)
        close()
        assert views == expected

    clean_run(main())


def test_each_has_its_own_hash(clean_run, receiving):
    async def main():
        hashes, expected = [], []
        send, close = await receiving(lambda data: hashes.append(hash(data)))
        for message in itertools.islice(messages(1024), 20):
            await send(message)
            expected.append(hash(message))
        close()
        assert hashes == expected

    clean_run(main())


def test_it_ends_where_its_length_says(clean_run, receiving):
    # `int()` and `float()` read a `bytes` up to the zero byte behind it.
    async def main():
        sizes = []
        send, close = await receiving(lambda data: sizes.append((len(data), float(data))))
        for size in (4000, 600, 601, 600, 4000, 3999):
            await send(b"1".zfill(size))
        close()
        assert sizes == [(size, 1.0) for size in (4000, 600, 601, 600, 4000, 3999)]

    clean_run(main())


def test_many_of_one_turn(clean_run, pair):
    async def main():
        pairs = [await pair() for _ in range(150)]
        source = messages(1024)
        expected = [[] for _ in pairs]
        for _ in range(4):
            for (_, peer), wanted in zip(pairs, expected, strict=True):
                wanted.append(next(source))
                peer.send(wanted[-1])
            for (protocol, _), wanted in zip(pairs, expected, strict=True):
                await protocol.until(lambda protocol, wanted=wanted: len(protocol.data) >= 1024 * len(wanted))
        for (protocol, _), wanted in zip(pairs, expected, strict=True):
            assert [call[1] for call in protocol.calls if call[0] == "data"] == wanted
            protocol.transport.close()

    clean_run(main())


def test_a_closed_loop_holds_nothing(asyncio, loop, clean_run, receiving):
    async def main():
        send, close = await receiving(kept.append)
        for message in itertools.islice(messages(1024), 3):
            await send(message)
        close()
        await asyncio.sleep(0)

    kept = []
    clean_run(main())
    loop.close()
    alone = list(itertools.islice(messages(1024), 3))
    assert [sys.getrefcount(data) for data in kept] == [sys.getrefcount(data) for data in alone]
