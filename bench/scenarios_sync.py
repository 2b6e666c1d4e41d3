"""Locks and queues: the primitives that programs build their own scheduling from.

The contended ones have to suspend somewhere while they hold the lock, or no other task ever finds it held;
they do it by a bare yield, whose own cost `yield_one_task` gives.
"""

from __future__ import annotations

import asyncio

from bench.scenario import in_process
from bench.scenarios_core import bare_yield


@in_process("put + get")
async def queue_unblocked(n: int) -> None:
    """One task puts an item and takes it out again: no wait, no other task."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    for item in range(n):
        await queue.put(item)
        await queue.get()


@in_process("item")
async def queue_handoff(n: int) -> None:
    """A producer and a consumer over a queue of one place: every item makes both wait."""
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def produce() -> None:
        for item in range(n):
            await queue.put(item)

    producer = asyncio.create_task(produce())
    for _ in range(n):
        await queue.get()
    await producer


@in_process("acquire + release")
async def lock_uncontended(n: int) -> None:
    """`async with` on a free lock."""
    lock = asyncio.Lock()
    for _ in range(n):
        async with lock:
            pass


@in_process("acquire + release", fixed=10_000)
async def lock_contended(n: int) -> None:
    """Ten tasks, one lock, held over one turn each time: every acquire waits in line."""
    lock = asyncio.Lock()

    async def worker() -> None:
        for _ in range(n // 10):
            async with lock:
                await bare_yield()

    await asyncio.gather(*[worker() for _ in range(10)])


@in_process("acquire + release", fixed=20_000)
async def semaphore_10_50tasks(n: int) -> None:
    """Fifty tasks, ten places, each held over one turn."""
    semaphore = asyncio.Semaphore(10)

    async def worker() -> None:
        for _ in range(n // 50):
            async with semaphore:
                await bare_yield()

    await asyncio.gather(*[worker() for _ in range(50)])


@in_process("waiter woken", fixed=40_000)
async def event_fanout_200(n: int) -> None:
    """Two hundred tasks wait on one event; it is set; they wait on the next one."""
    rounds = n // 200
    events = [asyncio.Event() for _ in range(rounds)]
    woken = 0

    async def waiter() -> None:
        nonlocal woken
        for event in events:
            await event.wait()
            woken += 1

    tasks = [asyncio.create_task(waiter()) for _ in range(200)]
    await bare_yield()
    for index, event in enumerate(events, 1):
        event.set()
        while woken < 200 * index:
            await bare_yield()
    for task in tasks:
        await task


@in_process("notify")
async def condition_notify(n: int) -> None:
    """Two tasks take turns over one condition: each notifies the other and waits to be notified."""
    condition = asyncio.Condition()
    turn = 0

    async def player(me: int) -> None:
        nonlocal turn
        for _ in range(n // 2):
            async with condition:
                while turn != me:
                    await condition.wait()
                turn = 1 - me
                condition.notify()

    await asyncio.gather(player(0), player(1))
