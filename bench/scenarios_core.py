"""The loop, futures, tasks, structured concurrency, timers and threads: what every asyncio program spends.

Each scenario does `n` operations of one kind and nothing else that costs as much. Where a repetition
needs set-up (tasks, a thread, a connection), `n` is fixed, the same for every implementation and large enough
for the set-up to stay within a hundredth or two; a fitted `n` would spread it thinner on the faster ones.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from types import coroutine
from typing import Any

from bench.scenario import in_process

TIMERS_PER_TURN = 1000
"""Far timers made and cancelled between two turns of the loop.

A loop without turns would pile cancelled timers up, which no program lets happen; one turn in a thousand is
below the noise. Not in a hundred: stock compacts its heap above a hundred (`_MIN_SCHEDULED_TIMER_HANDLES`)
and pops the cancelled ones singly below, and on that edge its figure jumps by a fifth.
"""


@coroutine
def bare_yield() -> Generator[None, None, None]:
    """Give up one turn: the cheapest thing a coroutine can ask of its task, with no library code in it."""
    yield


async def nothing() -> None:
    """A coroutine that is done at its first step."""


# Callbacks


@in_process("call")
async def call_soon_chain(n: int) -> None:
    """A callback that schedules itself: one call per turn of the loop."""
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


def _no_op() -> None:
    pass


@in_process("call", fixed=1_000_000)
async def call_soon_1m_queued(n: int) -> None:
    """A million calls queued before the first one runs: allocation, and the collector's view of it."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    for _ in range(n - 1):
        loop.call_soon(_no_op)
    loop.call_soon(done.set_result, None)
    await done


@in_process("call", fixed=100_000)
async def call_soon_threadsafe(n: int) -> None:
    """Another thread makes n calls as fast as it can; over when all have run on the loop's thread."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def call() -> None:
        for _ in range(n - 1):
            loop.call_soon_threadsafe(_no_op)
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=call)
    thread.start()
    await done
    thread.join()


# Tasks and futures


@in_process("yield")
async def yield_one_task(n: int) -> None:
    """One task that gives up its turn n times."""
    for _ in range(n):
        await bare_yield()


@in_process("yield", fixed=200_000)
async def yield_1000_tasks(n: int) -> None:
    """A thousand tasks that give up their turns, two hundred times each."""
    turns = n // 1000

    async def worker() -> None:
        for _ in range(turns):
            await bare_yield()

    tasks = [asyncio.create_task(worker()) for _ in range(1000)]
    for task in tasks:
        await task


@in_process("sleep")
async def sleep0(n: int) -> None:
    """`await asyncio.sleep(0)`."""
    sleep = asyncio.sleep
    for _ in range(n):
        await sleep(0)


@in_process("hand-off")
async def future_ping_pong(n: int) -> None:
    """Two tasks wake each other: each waits on a future that the other resolves."""
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[None]] = [loop.create_future(), loop.create_future()]

    async def player(me: int) -> None:
        other = 1 - me
        for _ in range(n // 2):
            await waiting[me]
            waiting[me] = loop.create_future()
            waiting[other].set_result(None)

    first, second = asyncio.create_task(player(0)), asyncio.create_task(player(1))
    waiting[0].set_result(None)
    await first
    await second


@in_process("task")
async def create_task_await(n: int) -> None:
    """Create a task that is done at its first step, and await it."""
    create_task = asyncio.create_task
    for _ in range(n):
        await create_task(nothing())


@in_process("child", multiple=100)
async def gather_100(n: int) -> None:
    """`gather` over a hundred coroutines that are done at their first step."""
    for _ in range(n // 100):
        await asyncio.gather(*[nothing() for _ in range(100)])


@in_process("child", multiple=100)
async def taskgroup_100(n: int) -> None:
    """A TaskGroup of a hundred such coroutines."""
    for _ in range(n // 100):
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(nothing())


# Timeouts and timers


@in_process("timeout block")
async def timeout_ctx(n: int) -> None:
    """`async with asyncio.timeout(10)` around a body that suspends once in a thousand times."""
    for i in range(n):
        async with asyncio.timeout(10):
            if not i % TIMERS_PER_TURN:
                await bare_yield()


@in_process("wait_for")
async def wait_for(n: int) -> None:
    """`wait_for` of a coroutine that finishes at once, with a timeout that is never reached."""
    for i in range(n):
        await asyncio.wait_for(nothing(), 10)
        if not i % TIMERS_PER_TURN:
            await bare_yield()


@in_process("timer", fixed=100_000)
async def timers_half_cancelled(n: int) -> None:
    """n timers due within 1 to 5 ms, in scattered order; half are cancelled; over when the rest have fired.

    All are due before the last is scheduled, on every implementation here, so that the work is measured and
    not the wait. 1 ms is the least that every implementation treats as a timer (uvloop rounds down to 1 ms).
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = n // 2

    def fire() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    # 7919 is prime to 4001: the delays visit every microsecond of the range, in an order far from sorted.
    handles = [loop.call_later(0.001 + i * 7919 % 4001 * 1e-6, fire) for i in range(n)]
    for handle in handles[::2]:
        handle.cancel()
    await done


@in_process("timer")
async def call_later_cancel(n: int) -> None:
    """A far timer made and cancelled at once, the life of nearly every timeout."""
    loop = asyncio.get_running_loop()
    for i in range(n):
        loop.call_later(60, _no_op).cancel()
        if not i % TIMERS_PER_TURN:
            await bare_yield()


# Threads


@in_process("call")
async def run_in_executor(n: int) -> None:
    """One call at a time to the default executor: there and back between two threads."""
    loop = asyncio.get_running_loop()
    run: Any = loop.run_in_executor
    for _ in range(n):
        await run(None, _no_op)
