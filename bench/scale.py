"""Ten thousand idle connections and an accept storm: `python -m bench.scale [--impl stock,ferrio] [--rounds N]`.

What a connection costs that does nothing, in resident memory of the server's process, and what it costs to accept
one, answer it and see it go. Neither is time per operation, so this is a program beside the suite and not a row in it;
it keeps to the suite's ways: a process per (implementation, round), implementations alternating, medians over rounds.

The server is pinned to the first usable core. The clients are plain sockets in this process, on the last core.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bench.implementations import NAMES, ROOT, become, probe, python_environment
from bench.load import cores

if TYPE_CHECKING:
    import asyncio

CONNECTIONS = 10_000
STORM = 10_000
AT_ONCE = 256
"""Storm clients on their way at any time."""
PATIENCE = 20
"""Seconds without anything happening after which an implementation is given up."""
KINDS = ("protocol", "streams")
ANSWER = b"welcome"


# The server's process.


async def serve(kind: str) -> None:
    """Serve until standard input ends; answer each line on it with connections, resident bytes and CPU seconds."""
    import asyncio
    import threading

    class Idle(asyncio.Protocol):
        """As little as a protocol can be; answers and closes on the port of the storm."""

        __slots__ = ()

    class Answers(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport = cast(asyncio.Transport, transport)
            transport.write(ANSWER)
            transport.close()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(100)
        writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []
    for protocol, handler in ((Idle, wait), (Answers, answer)):
        if kind == "protocol":
            servers.append(await loop.create_server(protocol, "0.0.0.0", 0, backlog=4096))
        else:
            servers.append(await asyncio.start_server(handler, "0.0.0.0", 0, backlog=4096))

    ended: asyncio.Future[None] = loop.create_future()

    def answer_questions() -> None:
        for _ in sys.stdin:
            with open("/proc/self/statm") as file:
                resident = int(file.read().split()[1]) * resource.getpagesize()
            print(len(os.listdir("/proc/self/fd")), resident, time.process_time(), flush=True)
        loop.call_soon_threadsafe(ended.set_result, None)

    threading.Thread(target=answer_questions, daemon=True).start()
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await ended


# This process.


@dataclass
class Usage:
    """What the server says of itself."""

    descriptors: int
    resident: int
    cpu: float


class Server:
    """A server's process."""

    def __init__(self, implementation: str, kind: str, core: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.scale", "--serve", implementation, kind, str(core)],
            cwd=ROOT,
            env=python_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ports = self._line().split()
        if len(ports) != 2:
            raise RuntimeError(f"{implementation} did not start")
        self.idle, self.storm = map(int, ports)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def usage(self) -> Usage:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        descriptors, resident, cpu = self._line().split()
        return Usage(int(descriptors), int(resident), float(cpu))

    def settled(self, descriptors: int) -> Usage:
        """Its usage once it has accepted so many connections."""
        while True:
            usage = self.usage()
            if usage.descriptors >= descriptors:
                return usage
            time.sleep(0.01)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def server(implementation: str, kind: str, core: int) -> Iterator[Server]:
    """A server on that core, for the length of the block."""
    running = Server(implementation, kind, core)
    try:
        yield running
    finally:
        running.end()


def address(number: int, port: int) -> tuple[str, int]:
    """Where the client of that number connects to: so many to each address of the loopback that ports suffice."""
    return f"127.0.{number // 500_000}.{number // 2000 % 250 + 1}", port


def idle_memory(implementation: str, kind: str, core: int) -> float:
    """Resident bytes per idle connection."""
    with server(implementation, kind, core) as running:
        clients = [socket.create_connection(address(n, running.idle)) for n in range(CONNECTIONS // 10)]
        before = running.settled(len(clients))
        clients += [
            socket.create_connection(address(n, running.idle)) for n in range(len(clients), CONNECTIONS)
        ]
        after = running.settled(CONNECTIONS)
        for client in clients:
            # A RST leaves no port behind that has to wait for a minute.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        return (after.resident - before.resident) / (CONNECTIONS - CONNECTIONS // 10)


def accept_storm(implementation: str, kind: str, core: int) -> tuple[float, float]:
    """Connections per second, and the server's CPU microseconds for each."""
    with server(implementation, kind, core) as running:
        storm(running.storm, STORM // 10, 0)
        before, began = running.usage(), time.perf_counter()
        storm(running.storm, STORM, STORM // 10)
        took, after = time.perf_counter() - began, running.usage()
        return STORM / took, (after.cpu - before.cpu) / STORM * 1e6


def storm(port: int, count: int, first: int) -> None:
    """Connect, have the answer, see the end, go; many at a time."""
    selector = selectors.DefaultSelector()
    begun = done = 0
    while done < count:
        while begun < count and begun - done < AT_ONCE:
            sock = socket.create_connection(address(first + begun, port))
            selector.register(sock, selectors.EVENT_READ)
            begun += 1
        ready = selector.select(PATIENCE)
        if not ready:
            raise RuntimeError(f"{begun - done} connections are neither answered nor ended")
        for key, _ in ready:
            sock = cast(socket.socket, key.fileobj)
            data = sock.recv(100)
            if data and data != ANSWER:
                raise RuntimeError(f"the answer is {data!r}")
            if not data:
                selector.unregister(sock)
                sock.close()
                done += 1
    selector.close()


def shown(figures: list[float], digits: int) -> str:
    """The median, for the table."""
    return f"{statistics.median(figures):,.{digits}f}" if figures else "n/a"


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--impl", default=",".join(NAMES), help="only these implementations")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    socket.setdefaulttimeout(PATIENCE)
    if options.serve:
        implementation, kind, core = options.serve
        os.sched_setaffinity(0, {int(core)})
        socket.setdefaulttimeout(None)
        with become(implementation)() as runner:
            runner.run(serve(kind))
        return 0
    if 0 <= hard < CONNECTIONS + 200:
        print(f"the limit of descriptors is {hard}; {CONNECTIONS + 200} are needed", file=sys.stderr)
        return 1

    names = []
    for name in options.impl.split(","):
        found = probe(name)
        if found.reason:
            print(f"{name}: not measured: {found.reason}", file=sys.stderr)
        else:
            names.append(name)
            print(f"{name} {found.version}", file=sys.stderr)
    core, own = cores()
    os.sched_setaffinity(0, {own})
    figures: dict[tuple[str, str, str], list[float]] = {}
    for number in range(options.rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for kind in KINDS:
            for name in turned:
                try:
                    memory = idle_memory(name, kind, core)
                    figures.setdefault((kind, "memory", name), []).append(memory)
                    rate, cpu = accept_storm(name, kind, core)
                except (OSError, RuntimeError) as exc:
                    print(f"{name}, {kind}: {exc}", file=sys.stderr)
                    continue
                figures.setdefault((kind, "rate", name), []).append(rate)
                figures.setdefault((kind, "cpu", name), []).append(cpu)
    print(
        f"{CONNECTIONS} idle connections, storm of {STORM}; {options.rounds} rounds; cores {core} and {own}\n"
    )
    titles = {
        "memory": "bytes per idle connection",
        "rate": "connections accepted, answered and ended per second",
        "cpu": "server CPU microseconds for each",
    }
    print("| | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
    for kind in KINDS:
        for what, title in titles.items():
            cells = [shown(figures.get((kind, what, name), []), 1 if what == "cpu" else 0) for name in names]
            print(f"| {kind}: {title} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
