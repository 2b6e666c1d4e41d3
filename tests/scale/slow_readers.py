"""Peers that read slowly or not at all: what is held for them is bounded, and nothing of it is lost."""

import asyncio
import hashlib
import os
import socket

from witness import Buffered, Plain, pair, program, receive_all, reset, stream_pair, turns

HIGH, CHUNK = 50_000, 20_000


@program
async def writers_that_drain():
    """Sixty streams whose peers do not read: each holds its mark and one chunk, however long it waits."""
    made = [await stream_pair(small=True) for _ in range(60)]
    data = os.urandom(CHUNK)
    rounds = 40
    written = [0] * len(made)

    async def send(number, writer):
        writer.transport.set_write_buffer_limits(high=HIGH)
        for _ in range(rounds):
            writer.write(data)
            written[number] += 1
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    sending = [asyncio.ensure_future(send(number, writer)) for number, (_, writer, _) in enumerate(made)]
    before = None
    while before != written:
        before = written[:]
        await turns(3)
    for number, (_, writer, _) in enumerate(made):
        assert HIGH < writer.transport.get_write_buffer_size() <= HIGH + CHUNK
        assert written[number] < rounds and not sending[number].done()
    for number, (_, _, peer) in enumerate(made):
        with peer:
            assert await receive_all(peer) == data * rounds, number
    await asyncio.gather(*sending)


@program
async def protocols_that_pause():
    """The same by `pause_writing()` and `resume_writing()`, each once per crossing, with several marks."""

    class Source(Plain):
        def __init__(self):
            super().__init__()
            self.crossings = self.written = 0

        def pump(self):
            while not self.paused and self.written < 2_000_000:
                self.transport.write(bytes(CHUNK))
                self.written += CHUNK
            if self.written == 2_000_000:
                asyncio.get_running_loop().call_soon(self.transport.close)

        def pause_writing(self):
            super().pause_writing()
            self.crossings += 1

        def resume_writing(self):
            super().resume_writing()
            self.pump()

    for high, low in ((0, 0), (1, 0), (HIGH, 0), (HIGH, HIGH), (500_000, 100)):
        protocol, peer = await pair(Source, small=True)
        transport = protocol.transport
        transport.set_write_buffer_limits(high=high, low=low)
        protocol.pump()
        await turns()
        assert protocol.paused and high < transport.get_write_buffer_size() <= high + CHUNK
        with peer:
            assert len(await receive_all(peer)) == 2_000_000
        await protocol.until_lost()
        assert protocol.crossings > 1 or high == 500_000


@program
async def readers_that_are_slow():
    """A peer that sends as fast as it can, a StreamReader that is read a little at a time: it holds its limit."""
    loop = asyncio.get_running_loop()
    reader, writer, peer = await stream_pair()
    # One read of the transport's may come on top of twice the limit.
    most = 2 * 65_536 + 262_144
    data = os.urandom(1 << 20) * 16
    sending = asyncio.ensure_future(loop.sock_sendall(peer, data))
    digest, count = hashlib.sha256(), 0
    while count < len(data):
        await turns(1)
        assert len(reader._buffer) <= most
        piece = await reader.read(150_000)
        digest.update(piece)
        count += len(piece)
    await sending
    assert digest.digest() == hashlib.sha256(data).digest()
    peer.close()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


@program
async def protocols_that_pause_reading():
    """Nothing comes while reading is paused, the sender is held up, and all of it comes in the end."""
    loop = asyncio.get_running_loop()
    for kind in (Plain, Buffered):
        protocol, peer = await pair(kind)
        protocol.transport.pause_reading()
        data = os.urandom(12_000_000)
        sending = asyncio.ensure_future(loop.sock_sendall(peer, data))
        await turns(20)
        assert not sending.done() and not protocol.received
        step = 1_000_000
        while len(protocol.received) < len(data):
            before = len(protocol.received)
            protocol.transport.resume_reading()
            wanted = min(before + step, len(data))
            await protocol.until(lambda p=protocol, wanted=wanted: len(p.received) >= wanted)
            protocol.transport.pause_reading()
            await turns(2)
            held = len(protocol.received)
            await turns(5)
            assert len(protocol.received) == held
        await sending
        assert protocol.received == data
        peer.close()
        await turns()
        # The end is not told either while reading is paused.
        assert not protocol.eof
        protocol.transport.resume_reading()
        assert await protocol.until_lost() is None


@program
async def some_read_and_some_do_not():
    """One server, a hundred peers: those that do not read hold up nobody, and are let go of when they reset."""
    answer = os.urandom(500_000)

    async def handle(reader, writer):
        try:
            while line := await reader.readline():
                assert line == b"more\n"
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            stuck.append(None)
        finally:
            writer.close()

    stuck = []
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    peers = [socket.create_connection(address) for _ in range(100)]
    for peer in peers:
        peer.setblocking(False)
        peer.send(b"more\n" * 40)
    for peer in peers[::2]:
        peer.send(b"more\n" * 2)
    for peer in peers[::2]:
        digest, count = hashlib.sha256(), 0
        while count < 42 * len(answer):
            piece = await loop.sock_recv(peer, 1 << 20)
            digest.update(piece)
            count += len(piece)
        assert digest.digest() == hashlib.sha256(answer * 42).digest()
        peer.close()
    for peer in peers[1::2]:
        reset(peer)
    while len(stuck) < 50:
        await turns(1)
    server.close()
    await server.wait_closed()
    while len(asyncio.all_tasks()) > 1:
        await turns(1)
