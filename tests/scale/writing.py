"""Partial writes: sockets that take a few bytes at a time, writes that are much larger, and every mixture of them."""

import array
import asyncio
import hashlib
import os
import random
import socket

from witness import KINDS, Buffered, Plain, pair, program, sockets, stream_pair


class Slowly:
    """Reads everything from a socket in pieces of random size, and digests it."""

    def __init__(self, sock, chance):
        self.sock, self.chance = sock, chance
        self.digest, self.count = hashlib.sha256(), 0

    async def read(self):
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self.sock, self.chance.randrange(1, 50_000)):
            self.digest.update(data)
            self.count += len(data)
        self.sock.close()
        return self.count, self.digest.hexdigest()


def expected(pieces):
    digest, count = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        count += len(piece)
    return count, digest.hexdigest()


def shaped(data, number):
    """The same bytes as another kind of object."""
    shape = number % 5
    if shape == 1:
        return bytearray(data)
    if shape == 2:
        return memoryview(data)
    if shape == 3:
        return memoryview(b"<" + data + b">")[1:-1]
    if shape == 4:
        return memoryview(data[::-1])[::-1].tobytes()
    return data


@program
async def gigantic_writes():
    """One write of 12 MB through the smallest socket buffers there are, then the end."""
    data = os.urandom(1 << 20) * 12
    for end in ("close", "write_eof"):
        protocol, peer = await pair(small=True)
        protocol.transport.write(data)
        assert protocol.paused and protocol.transport.get_write_buffer_size() > len(data) // 2
        getattr(protocol.transport, end)()
        assert await Slowly(peer, random.Random(1)).read() == expected([data])
        assert await protocol.until_lost() is None
        assert not protocol.paused or end == "close"


@program
async def mixed_writes():
    """Four connections at once; write() and writelines() with pieces from nothing to 300 kB, of every type."""

    async def one(seed, small):
        chance = random.Random(seed)
        protocol, peer = await pair(small=small)
        reading = asyncio.ensure_future(Slowly(peer, chance).read())
        pieces = []
        for _ in range(120):
            lines = []
            for _ in range(chance.choice((1, 1, 1, 3, 200))):
                size = chance.choice((0, 1, 7, 100, 4096, 70_000, 300_000)) if len(lines) < 5 else 3
                lines.append(chance.randbytes(size))
            pieces += lines
            if len(lines) == 1:
                protocol.transport.write(shaped(lines[0], chance.randrange(5)))
            else:
                protocol.transport.writelines([shaped(line, i) for i, line in enumerate(lines)])
            if chance.random() < 0.5:
                await protocol.until(lambda: not protocol.paused)
        chance.choice((protocol.transport.close, protocol.transport.write_eof))()
        assert await reading == expected(pieces)
        assert await protocol.until_lost() is None

    await asyncio.gather(*(one(seed, seed % 2 == 0) for seed in range(4)))


@program(beyond="takes items for bytes when it counts what is left")
async def items_wider_than_a_byte():
    """A partial write of a buffer of integers goes on at the right byte."""
    for small in (True, False):
        protocol, peer = await pair(small=small)
        pieces = [array.array("I", os.urandom(size)) for size in (4, 400_000, 4_000_000)]
        protocol.transport.write(memoryview(pieces[0]))
        protocol.transport.writelines([memoryview(pieces[1]), pieces[2]])
        protocol.transport.write(memoryview(pieces[2]))
        protocol.transport.close()
        wanted = expected(piece.tobytes() for piece in [*pieces, pieces[2]])
        assert await Slowly(peer, random.Random(7)).read() == wanted
        assert await protocol.until_lost() is None


@program
async def thousands_of_small_pieces():
    """More pieces than one vectored send takes, of which the kernel takes a part each time."""
    for kind in (0, 1):
        protocol, peer = await pair(small=True)
        pieces = [b"%d." % number * (number % 7) for number in range(4000)]
        if kind:
            protocol.transport.writelines(pieces)
        else:
            # Large enough that the kernel has enough, so that the rest is queued piece by piece.
            protocol.transport.write(bytes(1_000_000))
            for piece in pieces:
                protocol.transport.write(piece)
            pieces.insert(0, bytes(1_000_000))
        protocol.transport.close()
        assert await Slowly(peer, random.Random(2)).read() == expected(pieces)
        assert await protocol.until_lost() is None


@program(beyond="calls connection_lost() for a second time if resume_writing() closes the transport")
async def written_in_callbacks():
    """A protocol that writes more whenever it is resumed, and in connection_made()."""

    class Source(Plain):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.left = 60
            self.pieces = []
            self.pump()

        def pump(self):
            while self.left and not self.paused:
                self.left -= 1
                self.pieces.append(os.urandom(200_000))
                self.transport.write(self.pieces[-1])
            if not self.left:
                self.transport.close()

        def resume_writing(self):
            super().resume_writing()
            self.pump()

    for small in (False, True):
        protocol, peer = await pair(Source, small=small)
        result = await Slowly(peer, random.Random(3)).read()
        assert result == expected(protocol.pieces) and result[0] == 60 * 200_000
        assert await protocol.until_lost() is None


@program
async def streams():
    """A writer that drains, against a reader that counts; lines that are longer than any buffer."""
    chance = random.Random(5)
    reader, writer, peer = await stream_pair(small=True)
    there, back = await asyncio.open_connection(sock=peer)
    pieces = [chance.randbytes(size) for size in (1, 5_000_000, 0, 100, 300_000, 70_000, 2_000_000)]

    async def send():
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.writelines(pieces)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.ensure_future(send())
    for piece in pieces * 2:
        assert await there.readexactly(len(piece)) == piece
    assert await there.read() == b""
    await sending
    for end in (writer, back):
        end.close()
        await end.wait_closed()


@program
async def both_ways_at_once():
    """Each side sends 8 MB while it receives as much, plain and buffered."""
    for left, right in ((Plain, Buffered), (Buffered, Plain)):
        ours, peer = sockets(small=True)
        loop = asyncio.get_running_loop()
        _, one = await loop.create_connection(left, sock=ours)
        _, two = await loop.create_connection(right, sock=peer)
        first, second = os.urandom(8_000_000), os.urandom(8_000_000)
        one.transport.write(first)
        two.transport.write(second)
        one.transport.write_eof()
        two.transport.write_eof()
        await one.until(lambda one=one: len(one.received) == 8_000_000)
        await two.until(lambda two=two: len(two.received) == 8_000_000)
        assert bytes(one.received) == second and bytes(two.received) == first
        for protocol in (one, two):
            protocol.transport.close()
            assert await protocol.until_lost() is None


@program
async def abort_lets_go_of_what_is_queued():
    """Half sent; the rest is freed with the transport's end, not with the transport."""

    class Traced(bytes):
        """Its instances can be counted."""

        alive = 0

        def __new__(cls, *args):
            cls.alive += 1
            return super().__new__(cls, *args)

        def __del__(self):
            Traced.alive -= 1

    for kind in KINDS:
        protocol, peer = await pair(kind)
        for _ in range(20):
            protocol.transport.write(Traced(500_000))
        assert protocol.transport.get_write_buffer_size() > 5_000_000
        protocol.transport.abort()
        await protocol.until_lost()
        assert Traced.alive == 0
        assert protocol.transport.get_write_buffer_size() == 0
        peer.close()


@program
async def sock_sendall_in_small_pieces():
    loop = asyncio.get_running_loop()
    ours, peer = sockets(small=True)
    data = os.urandom(6_000_000)
    reading = asyncio.ensure_future(Slowly(peer, random.Random(6)).read())
    await loop.sock_sendall(ours, memoryview(data)[:5_000_000])
    await loop.sock_sendall(ours, bytearray(data[5_000_000:]))
    ours.shutdown(socket.SHUT_WR)
    assert await reading == expected([data])
    ours.close()


@program
async def a_turn_that_is_interrupted_loses_nothing():
    """KeyboardInterrupt out of one protocol among several that have written: the loop runs on, and all is sent."""
    # Running a loop twice takes one of its own, in a thread where none runs.
    await asyncio.to_thread(interrupted_turn)


def interrupted_turn():
    class Interrupts(Plain):
        def pause_writing(self):
            super().pause_writing()
            raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    kinds = [Plain, Plain, Interrupts, Plain, Plain]
    made = []
    sizes = [10_000, 10_000, 30_000, 10_000, 10_000]

    async def connect():
        for kind in kinds:
            made.append(await pair(kind, small=kind is Interrupts))

    async def write():
        for number, (protocol, _) in enumerate(made):
            protocol.transport.write(b"%d" % number * sizes[number])
        # Told to pause now if anything is left to send now, otherwise as soon as that is known.
        made[2][0].transport.set_write_buffer_limits(high=0)
        await asyncio.sleep(0)

    async def read():
        for number, (_, peer) in enumerate(made):
            # Without anything that would make the transport send: it has to do so by itself.
            data = bytearray()
            while len(data) < sizes[number]:
                data += await loop.sock_recv(peer, 1 << 20)
            assert data == b"%d" % number * sizes[number]
        for protocol, peer in made:
            protocol.transport.close()
            assert await protocol.until_lost() is None
            peer.close()

    loop.run_until_complete(connect())
    writing = loop.create_task(write())
    try:
        loop.run_until_complete(writing)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("nothing was interrupted")
    loop.run_until_complete(asyncio.wait([writing]))
    assert writing.exception() is None or isinstance(writing.exception(), KeyboardInterrupt)
    loop.run_until_complete(asyncio.wait_for(read(), 20))
    loop.close()
    made.clear()
