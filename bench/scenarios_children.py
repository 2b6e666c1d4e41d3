"""Child processes: starting and waiting, talking through pipes, and what a start costs everybody else on the loop.

Most of the time of a short child is the kernel's (making it, `execve`, taking it down), the same for all. The program
is `/bin/true`, which does nothing; what it costs to begin is part of each figure.

`spawn_stall_*` is no throughput: its figure is by how much a 1 ms ticker on the loop is late at the 99th percentile
while children are started one after the other, in a small process and in one that holds 2 GiB.
"""

from __future__ import annotations

import asyncio
import mmap
from time import perf_counter

from bench.scenario import in_process

PIPE = asyncio.subprocess.PIPE
PROGRAM = "/bin/true"
AT_ONCE = 16
CHUNK = 1 << 16
MEBIBYTE = 1 << 20


async def _start_and_wait() -> None:
    process = await asyncio.create_subprocess_exec(PROGRAM)
    await process.wait()


@in_process("child")
async def spawn_wait(n: int) -> None:
    """Start a program and wait for its end, one after the other."""
    for _ in range(n):
        await _start_and_wait()


@in_process("child", multiple=AT_ONCE)
async def spawn_wait_16(n: int) -> None:
    """The same, sixteen at a time."""
    for _ in range(n // AT_ONCE):
        await asyncio.gather(*(_start_and_wait() for _ in range(AT_ONCE)))


@in_process("child")
async def spawn_communicate(n: int) -> None:
    """Give a kilobyte to `cat`, and read it back."""
    data = b"x" * 1024
    for _ in range(n):
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        output, _ = await process.communicate(data)
        assert len(output) == len(data)


@in_process("MiB", fixed=256)
async def pipe_from_child(n: int) -> None:
    """Read what a child writes as fast as it can."""
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/head", "-c", str(n * MEBIBYTE), "/dev/zero", stdout=PIPE, limit=MEBIBYTE
    )
    assert process.stdout is not None
    received = 0
    while data := await process.stdout.read(MEBIBYTE):
        received += len(data)
    assert received == n * MEBIBYTE
    await process.wait()


@in_process("MiB", fixed=256)
async def pipe_to_child(n: int) -> None:
    """Write to a child that reads as fast as it can."""
    process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=asyncio.subprocess.DEVNULL)
    assert process.stdin is not None
    data = b"x" * CHUNK
    for _ in range(n * MEBIBYTE // CHUNK):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()
    await process.wait()


async def _lateness(children: int) -> float:
    """The 99th percentile of a ticker's lateness in seconds, while so many children are started and waited for."""
    late: list[float] = []
    running = True

    async def tick() -> None:
        while running:
            due = perf_counter() + 0.001
            await asyncio.sleep(0.001)
            late.append(perf_counter() - due)

    ticker = asyncio.create_task(tick())
    for _ in range(children):
        await _start_and_wait()
    running = False
    await ticker
    return sorted(late)[len(late) * 99 // 100]


@in_process("ticker", fixed=1, itself=True)
async def spawn_stall_small(_n: int) -> float:
    """A ticker beside children that are started one after the other."""
    return await _lateness(300)


@in_process("ticker", fixed=1, itself=True)
async def spawn_stall_2gib(_n: int) -> float:
    """The same in a process that holds 2 GiB of memory."""
    with mmap.mmap(-1, 2 << 30) as memory:
        # A page table entry for each page: that is what a copy of the process costs.
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1
        return await _lateness(100)
