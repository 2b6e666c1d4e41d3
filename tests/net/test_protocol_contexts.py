"""In which `contextvars.Context` each method of a protocol is called.

asyncio calls them through handles, each with a copy of the context in which the handle was made: `connection_made()`
and reading with copies of the one in which the transport was made, reading with another one each time it is resumed,
writing with a copy of the one that wrote, `connection_lost()` with a copy of the one that ended the connection.
Since 3.15 all calls share one context: tests/newer/test_shared_contexts.py.
"""

import contextvars
import os
import socket
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 15), reason="all calls share one context since 3.15")

var = contextvars.ContextVar("var", default="default")


@pytest.fixture
def seeing(asyncio):
    """A protocol class whose methods note what they see in the variable, and set it to their own name."""

    class Seeing(asyncio.Protocol, asyncio.DatagramProtocol):
        fails = False

        def __init__(self):
            self.seen = []
            self.changed = asyncio.Event()
            self.paused = False

        def note(self, name):
            self.seen.append((name, var.get()))
            var.set(name)
            self.changed.set()

        async def until(self, name):
            while name not in (called for called, _ in self.seen):
                self.changed.clear()
                await asyncio.wait_for(self.changed.wait(), 20)

        def take(self):
            seen, self.seen = self.seen, []
            return seen

        def connection_made(self, transport):
            self.transport = transport
            self.note("made")

        def data_received(self, data):
            self.note(data.decode())
            if self.fails:
                raise ZeroDivisionError

        def datagram_received(self, data, addr):
            self.note(data.decode())

        def error_received(self, exc):
            self.note("error")

        def eof_received(self):
            self.note("eof")

        def pause_writing(self):
            self.paused = True
            self.note("pause")

        def resume_writing(self):
            self.note("resume")

        def connection_lost(self, exc):
            self.note("lost")

    return Seeing


@pytest.fixture
def connected(loop, seeing):
    """A coroutine function: a protocol whose transport was made where the variable is "creation", and its peer."""

    async def connected(factory=seeing):
        ours, peer = socket.socketpair()
        peers.append(peer)
        peer.setblocking(False)
        token = var.set("creation")
        _, protocol = await loop.create_connection(factory, sock=ours)
        var.reset(token)
        return protocol, peer

    peers = []
    yield connected
    for peer in peers:
        peer.close()


async def received(protocol, peer, message):
    peer.send(message.encode())
    await protocol.until(message)


def test_reading_has_a_context_of_its_own_which_stays(clean_run, connected):
    async def main():
        protocol, peer = await connected()
        await received(protocol, peer, "first")
        await received(protocol, peer, "second")
        peer.close()
        await protocol.until("lost")
        assert protocol.seen == [
            ("made", "creation"),
            ("first", "creation"),
            ("second", "first"),
            ("eof", "second"),
            ("lost", "eof"),
        ]
        assert var.get() == "default"

    clean_run(main())


def test_without_variables_too(clean_run, loop, seeing):
    async def main():
        ours, peer = socket.socketpair()
        with peer:
            _, protocol = await loop.create_connection(seeing, sock=ours)
            await received(protocol, peer, "first")
            await received(protocol, peer, "second")
            protocol.transport.close()
            await protocol.until("lost")
        assert protocol.seen == [
            ("made", "default"),
            ("first", "default"),
            ("second", "first"),
            ("lost", "default"),
        ]

    clean_run(main())


def test_reading_that_is_resumed_gets_a_copy_of_the_resumers_context(clean_run, connected):
    async def main():
        protocol, peer = await connected()
        await received(protocol, peer, "first")
        protocol.take()
        var.set("resumer")
        protocol.transport.resume_reading()
        await received(protocol, peer, "second")
        protocol.transport.pause_reading()
        protocol.transport.resume_reading()
        var.set("later")
        await received(protocol, peer, "third")
        await received(protocol, peer, "fourth")
        protocol.transport.abort()
        await protocol.until("lost")
        assert protocol.seen == [
            ("second", "first"),
            ("third", "resumer"),
            ("fourth", "third"),
            ("lost", "later"),
        ]

    clean_run(main())


def test_reading_that_begins_paused(clean_run, connected, seeing):
    class Paused(seeing):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        protocol, peer = await connected(Paused)
        var.set("resumer")
        protocol.transport.resume_reading()
        await received(protocol, peer, "first")
        protocol.transport.abort()
        await protocol.until("lost")
        assert protocol.seen == [("made", "creation"), ("first", "resumer"), ("lost", "resumer")]

    clean_run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_the_end_has_a_copy_of_the_context_that_ended_it(clean_run, connected, end):
    async def main():
        protocol, _ = await connected()
        var.set("ender")
        getattr(protocol.transport, end)()
        var.set("later")
        await protocol.until("lost")
        assert protocol.seen == [("made", "creation"), ("lost", "ender")]
        assert var.get() == "later"

    clean_run(main())


def test_an_error_of_the_protocols_ends_in_the_context_of_reading(run, connected):
    async def main():
        protocol, peer = await connected()
        protocol.fails = True
        await received(protocol, peer, "first")
        await protocol.until("lost")
        assert protocol.seen == [("made", "creation"), ("first", "creation"), ("lost", "first")]

    run(main())


def test_writing(clean_run, loop, connected):
    """It is paused in the context that writes, and resumed in a copy of it."""

    async def main():
        protocol, peer = await connected()
        protocol.take()
        var.set("writer")
        protocol.transport.write(b"x" * 3_000_000)
        assert var.get() == "pause"
        var.set("later")
        count = 0
        while count < 3_000_000:
            count += len(await loop.sock_recv(peer, 1 << 20))
        await protocol.until("resume")
        # A handle that writes has what it was made with, until everything is written.
        assert protocol.take() == [("pause", "writer"), ("resume", "writer")]
        var.set("second writer")
        protocol.transport.write(b"x" * 3_000_000)
        protocol.transport.close()
        var.set("later")
        while await loop.sock_recv(peer, 1 << 20):
            pass
        await protocol.until("lost")
        assert protocol.take() == [
            ("pause", "second writer"),
            ("resume", "second writer"),
            ("lost", "resume"),
        ]

    clean_run(main())


def test_buffered_protocols(clean_run, asyncio, loop):
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.seen, self.buffer, self.lost = [], bytearray(100), loop.create_future()

        def note(self, name):
            self.seen.append((name, var.get()))
            var.set(name)

        def connection_made(self, transport):
            self.note("made")

        def get_buffer(self, sizehint):
            self.note("get")
            return self.buffer

        def buffer_updated(self, nbytes):
            self.note("updated")

        def eof_received(self):
            self.note("eof")

        def connection_lost(self, exc):
            self.note("lost")
            self.lost.set_result(None)

    async def main():
        ours, peer = socket.socketpair()
        var.set("creation")
        _, protocol = await loop.create_connection(Buffered, sock=ours)
        peer.send(b"x")
        while len(protocol.seen) < 3:
            await asyncio.sleep(0)
        peer.close()
        await protocol.lost
        assert protocol.seen == [
            ("made", "creation"),
            ("get", "creation"),
            ("updated", "get"),
            ("get", "updated"),
            ("eof", "get"),
            ("lost", "eof"),
        ]

    clean_run(main())


def test_accepted_connections(clean_run, loop, seeing):
    """Each has a copy of the context in which the server was made; its factory is called in it."""
    protocols = []

    def factory():
        protocols.append(seeing())
        protocols[-1].note("factory")
        return protocols[-1]

    async def main():
        var.set("server")
        server = await loop.create_server(factory, "127.0.0.1", 0)
        var.set("later")
        for number in range(2):
            with socket.create_connection(server.sockets[0].getsockname()) as peer:
                while len(protocols) <= number:
                    await protocols_changed(loop)
                await protocols[number].until("made")
                await received(protocols[number], peer, "first")
            await protocols[number].until("lost")
        server.close()
        await server.wait_closed()
        for protocol in protocols:
            assert protocol.seen == [
                ("factory", "server"),
                ("made", "factory"),
                ("first", "factory"),
                ("eof", "first"),
                ("lost", "eof"),
            ]

    clean_run(main())


async def protocols_changed(loop):
    turn = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn


def test_a_streams_callback_and_its_task(clean_run, asyncio):
    async def main():
        seen = []

        async def served(reader, writer):
            seen.append(("task", var.get()))
            var.set("task")
            await reader.read()
            seen.append(("read", var.get()))
            writer.close()

        def callback(reader, writer):
            seen.append(("callback", var.get()))
            var.set("callback")
            return served(reader, writer)

        var.set("server")
        server = await asyncio.start_server(callback, "127.0.0.1", 0)
        var.set("client")
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        server.close()
        assert seen == [("callback", "server"), ("task", "callback"), ("read", "task")]

    clean_run(main())


def test_datagrams(clean_run, loop, seeing):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(20)
            var.set("creation")
            transport, protocol = await loop.create_datagram_endpoint(seeing, remote_addr=peer.getsockname())
            var.set("later")
            transport.sendto(b"x")
            _, address = peer.recvfrom(10)
            for message in ("first", "second"):
                peer.sendto(message.encode(), address)
                await protocol.until(message)
        # To a port that is closed by now: the error comes with the next look.
        transport.sendto(b"x")
        await protocol.until("error")
        var.set("closer")
        transport.close()
        await protocol.until("lost")
        assert protocol.seen == [
            ("made", "creation"),
            ("first", "creation"),
            ("second", "first"),
            ("error", "second"),
            ("lost", "closer"),
        ]

    clean_run(main())


def test_a_pipe_that_is_read(clean_run, loop, seeing):
    async def main():
        reader, writer = os.pipe()
        var.set("creation")
        transport, protocol = await loop.connect_read_pipe(seeing, os.fdopen(reader, "rb", 0))
        var.set("later")
        for message in ("first", "second"):
            os.write(writer, message.encode())
            await protocol.until(message)
        transport.pause_reading()
        transport.resume_reading()
        os.write(writer, b"third")
        await protocol.until("third")
        os.close(writer)
        await protocol.until("lost")
        assert protocol.seen == [
            ("made", "creation"),
            ("first", "creation"),
            ("second", "first"),
            ("third", "later"),
            ("eof", "third"),
            ("lost", "third"),
        ]

    clean_run(main())


def test_a_pipe_that_is_written(clean_run, asyncio, loop, seeing):
    async def main():
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        var.set("creation")
        transport, protocol = await loop.connect_write_pipe(seeing, os.fdopen(writer, "wb", 0))
        var.set("writer")
        transport.write(b"x" * 500_000)
        assert var.get() == "pause"
        var.set("later")
        transport.close()
        readable = asyncio.Event()
        loop.add_reader(reader, readable.set)
        while True:
            await readable.wait()
            readable.clear()
            try:
                if os.read(reader, 1 << 16) == b"":
                    break
            except BlockingIOError:
                pass
        loop.remove_reader(reader)
        os.close(reader)
        await protocol.until("lost")
        assert protocol.seen == [
            ("made", "creation"),
            ("pause", "writer"),
            ("resume", "writer"),
            ("lost", "resume"),
        ]

    clean_run(main())


def test_a_pipe_whose_reader_is_gone(clean_run, loop, seeing):
    async def main():
        reader, writer = os.pipe()
        var.set("creation")
        await loop.connect_write_pipe(lambda: protocol, os.fdopen(writer, "wb", 0))
        var.set("later")
        os.close(reader)
        await protocol.until("lost")
        assert protocol.seen == [("made", "creation"), ("lost", "creation")]

    async def make():
        return seeing()

    protocol = loop.run_until_complete(make())
    clean_run(main())
