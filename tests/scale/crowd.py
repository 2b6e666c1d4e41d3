"""Ten thousand connections on one loop, a thousand of them busy; and an accept storm.

The other ends live in a process of their own (`clients.py`), which says what it wants in lines and does everything with
plain sockets, so that this one holds nothing but the servers' side.
"""

import asyncio
import os
import pathlib
import resource
import subprocess
import sys

from witness import KINDS, Plain, is_reset, program, turns

CROWD, BUSY, ROUNDS = 10_000, 1_000, 5
STORM = 10_000

# Resident bytes per idle connection, of the process that has the servers; bench/scale.py shows what it is beside
# the others. A little more than that, for other allocators and Pythons.
MOST_PER_CONNECTION = 1500


def allow_descriptors(count):
    """Have so many descriptors, or say why not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    if hard < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        except (ValueError, PermissionError):
            print(f"cannot: the limit of descriptors is {hard}, and {count} are needed")
            raise SystemExit(0) from None
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


class Clients:
    """The process with the other ends."""

    def __init__(self, port):
        script = pathlib.Path(__file__).with_name("clients.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    async def do(self, *words):
        """Have it do something; returns what it says when it is done."""
        return await asyncio.to_thread(self._do, " ".join(map(str, words)))

    def _do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def serve(kind, made):
    class Echo(kind):
        def connection_made(self, transport):
            super().connection_made(transport)
            made.append(self)

        def _received(self, data):
            super()._received(data)
            self.transport.write(data)

    server = await asyncio.get_running_loop().create_server(Echo, "0.0.0.0", 0, backlog=4096)
    return server, server.sockets[0].getsockname()[1]


async def until(condition):
    while not condition():
        await turns(1)


@program
async def ten_thousand_connections():
    """All are made, a thousand are busy, each has its own data, and every way to end them ends all of them."""
    allow_descriptors(CROWD + 200)
    for kind in KINDS:
        made = []
        server, port = await serve(kind, made)
        clients = Clients(port)
        # Ports are told apart by their addresses: each batch connects to another one of the loopback's.
        assert await clients.do("connect", CROWD) == f"connected {CROWD}"
        await until(lambda made=made: len(made) == CROWD)
        assert await clients.do("chat", BUSY, ROUNDS) == f"chatted {BUSY * ROUNDS}"
        busy = [protocol for protocol in made if protocol.received]
        assert len(busy) == BUSY
        # The idle ones are all there: each says who it is, and hears it back.
        assert await clients.do("name") == f"named {CROWD}"
        names = {bytes(protocol.received).rpartition(b"#")[2] for protocol in made}
        assert len(names) == CROWD
        # A third ends by closing there, a third by a reset, the rest here: closed, aborted, half-closed.
        assert await clients.do("close", CROWD // 3) == f"closed {CROWD // 3}"
        assert await clients.do("reset", CROWD // 3) == f"reset {CROWD // 3}"
        await until(lambda made=made: sum(protocol.lost for protocol in made) == CROWD // 3 * 2)
        assert sum(is_reset(protocol.error) for protocol in made) == CROWD // 3
        left = [protocol for protocol in made if not protocol.lost]
        for number, protocol in enumerate(left):
            (protocol.transport.close, protocol.transport.abort, protocol.transport.write_eof)[number % 3]()
        assert await clients.do("drain") == f"drained {len(left)}"
        for protocol in left:
            assert await protocol.until_lost() is None
        clients.end()
        server.close()
        await server.wait_closed()
        made.clear()
        busy.clear()
        left.clear()


class Silent(asyncio.Protocol):
    """As little as a protocol can be."""

    __slots__ = ()


@program(beyond="takes more than twice as much")
async def memory_per_idle_connection():
    """Within what the benchmark reports, and given back when the connections are gone and others come."""
    allow_descriptors(CROWD + 200)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Silent, "0.0.0.0", 0, backlog=4096)
    sizes = []
    for _ in range(2):
        clients = Clients(server.sockets[0].getsockname()[1])
        # The first thousand pay for what is there once: arenas, tables, threads.
        assert await clients.do("connect", 1000) == "connected 1000"
        await clients.do("barrier")
        await turns(5)
        before = resident()
        assert await clients.do("connect", CROWD - 1000) == f"connected {CROWD - 1000}"
        await until(lambda: open_connections() >= CROWD)
        sizes.append((resident() - before) / (CROWD - 1000))
        assert await clients.do("reset", CROWD) == f"reset {CROWD}"
        await until(lambda: open_connections() < 100)
        clients.end()
    # The first round is what they take, the second comes out of what the first has left.
    assert max(sizes) < MOST_PER_CONNECTION, sizes
    server.close()
    await server.wait_closed()


def open_connections():
    return len(os.listdir("/proc/self/fd"))


@program
async def accept_storm():
    """Connects as fast as four processes can, each gone as soon as it had its answer: none is lost."""
    made, answered = 0, 0

    class Answers(Plain):
        def connection_made(self, transport):
            nonlocal made
            made += 1
            super().connection_made(transport)
            transport.write(b"welcome")
            transport.close()

        def connection_lost(self, exc):
            nonlocal answered
            answered += 1
            super().connection_lost(exc)
            assert exc is None or is_reset(exc)

    server = await asyncio.get_running_loop().create_server(Answers, "0.0.0.0", 0, backlog=4096)
    storm = [Clients(server.sockets[0].getsockname()[1]) for _ in range(4)]
    told = await asyncio.gather(
        *(clients.do("storm", STORM // 4, first * 60 + 1) for first, clients in enumerate(storm))
    )
    assert told == [f"stormed {STORM // 4}"] * 4
    await until(lambda: made == answered == STORM)
    for clients in storm:
        clients.end()
    server.close()
    await server.wait_closed()


@program
async def accept_storm_of_streams():
    """The same with a task per connection, a request and an answer, and half of the clients resetting."""
    served = 0

    async def handle(reader, writer):
        nonlocal served
        try:
            assert await reader.readexactly(4) == b"ping"
            writer.write(b"welcome")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError) as exc:
            assert not isinstance(exc, asyncio.IncompleteReadError) or not exc.partial
        finally:
            served += 1
            writer.close()

    server = await asyncio.start_server(handle, "0.0.0.0", 0, backlog=4096)
    storm = [Clients(server.sockets[0].getsockname()[1]) for _ in range(2)]
    told = await asyncio.gather(
        *(clients.do("rough", 3000, first * 60 + 1) for first, clients in enumerate(storm))
    )
    assert told == ["roughed 3000"] * 2
    await until(lambda: served == 6000)
    for clients in storm:
        clients.end()
    server.close()
    await server.wait_closed()
    await until(lambda: len(asyncio.all_tasks()) == 1)
