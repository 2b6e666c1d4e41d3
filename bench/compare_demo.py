"""A ten-second comparison of ferrio with stock asyncio: `python bench/compare_demo.py`, or `make demo`.

Only the standard library and ferrio are needed. It is a first impression; `python bench/run.py` is the
measurement. Like the suite it measures in fresh processes, the two implementations alternating, and reports
medians over the rounds, of the times and of each round's own ratio. It shares no code with the suite, so
that the file can be copied and run anywhere that ferrio is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

ROUNDS = 3
BUDGET_SECONDS = 0.15
"""Per program, round and implementation."""

_MEASURE = "--measure"


def measure() -> dict[str, float]:
    """Time every program in this process: nanoseconds per operation. asyncio is what was chosen before."""
    import asyncio

    async def nothing() -> None:
        pass

    async def call_soon_chain(n: int) -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        left = n

        def step() -> None:
            nonlocal left
            left -= 1
            if left:
                loop.call_soon(step)
            else:
                done.set_result(None)

        loop.call_soon(step)
        await done

    async def future_ping_pong(n: int) -> None:
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[None]] = [loop.create_future(), loop.create_future()]

        async def player(me: int) -> None:
            for _ in range(n // 2):
                await waiting[me]
                waiting[me] = loop.create_future()
                waiting[1 - me].set_result(None)

        players = [asyncio.create_task(player(0)), asyncio.create_task(player(1))]
        waiting[0].set_result(None)
        for task in players:
            await task

    async def create_task_await(n: int) -> None:
        for _ in range(n):
            await asyncio.create_task(nothing())

    async def gather_100(n: int) -> None:
        for _ in range(n // 100):
            await asyncio.gather(*[nothing() for _ in range(100)])

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def streams_ping_pong(n: int) -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        for _ in range(n):
            writer.write(b"x" * 64)
            await reader.readexactly(64)
        writer.close()
        await writer.wait_closed()
        server.close()

    programs: list[Callable[[int], Awaitable[None]]] = [
        call_soon_chain,
        future_ping_pong,
        create_task_await,
        gather_100,
        streams_ping_pong,
    ]

    async def time_all() -> dict[str, float]:
        figures = {}
        for program in programs:
            n = 100
            await program(n)
            times: list[float] = []
            started = perf_counter()
            while perf_counter() - started < BUDGET_SECONDS or len(times) < 3:
                before = perf_counter()
                await program(n)
                elapsed = perf_counter() - before
                if elapsed < 0.02:
                    n *= 2  # too short to time well, or to hide the set-up; doubles as the warm-up
                    continue
                times.append(elapsed / n * 1e9)
            figures[program.__name__] = median(times)
        return figures

    return asyncio.run(time_all())


def run_child(implementation: str) -> dict[str, float]:
    """One round of one implementation, in a process of its own. Raises RuntimeError if it fails."""
    command = [sys.executable, __file__, _MEASURE, implementation]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit status {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def shown(ns: float) -> str:
    """A time to read: `950 ns`, `12.3 µs`."""
    return f"{ns:.0f} ns" if ns < 10_000 else f"{ns / 1000:.1f} µs"


def main() -> int:
    """Run the rounds and print the table; returns the exit status."""
    rounds: dict[str, list[dict[str, float]]] = {"stock": [], "ferrio": []}
    for turn in range(ROUNDS):
        order = ["stock", "ferrio"] if turn % 2 == 0 else ["ferrio", "stock"]
        for implementation in order:
            print(f"\rround {turn + 1} of {ROUNDS}: {implementation:8}", end="", file=sys.stderr, flush=True)
            try:
                rounds[implementation].append(run_child(implementation))
            except RuntimeError as error:
                print(f"\r{implementation} cannot run: {error}", file=sys.stderr)
                return 1
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    print(f"Python {sys.version.split()[0]}, median of {ROUNDS} rounds, time per operation\n")
    print(f"{'':20}{'asyncio':>12}{'ferrio':>12}{'faster':>10}")
    for program in rounds["stock"][0]:
        stock = [figures[program] for figures in rounds["stock"]]
        ferrio = [figures[program] for figures in rounds["ferrio"]]
        ratio = median(a / b for a, b in zip(stock, ferrio, strict=True))
        print(f"{program:20}{shown(median(stock)):>12}{shown(median(ferrio)):>12}{ratio:9.1f}×")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == [_MEASURE]:
        if sys.argv[2] == "ferrio":
            import ferrio

            ferrio.install()
        print(json.dumps(measure()))
    else:
        sys.exit(main())
