"""Coroutines closed while the library waits inside them."""

import asyncio

from observe import attempt, emit, scenario, spin


def start(coro):
    coro.send(None)
    return coro


@scenario
async def closing_half_way():
    lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue()
    sem, cond = asyncio.Semaphore(0), asyncio.Condition()
    await lock.acquire()
    await cond.acquire()
    full = asyncio.Queue(1)
    full.put_nowait(0)
    reader = asyncio.StreamReader()
    for coro in (
        lock.acquire(),
        event.wait(),
        queue.get(),
        full.put(1),
        sem.acquire(),
        cond.wait(),
        reader.read(1),
        reader.readline(),
        asyncio.sleep(3600),
        asyncio.wait_for(event.wait(), 3600),
    ):
        attempt(coro.__qualname__, start(coro).close)
    queue.put_nowait("item")
    event.set()
    emit(queue.qsize(), full.qsize(), lock)
    lock.release()
    emit(lock.locked())


@scenario
async def finally_runs():
    async def work():
        try:
            await asyncio.sleep(3600)
        finally:
            emit("finally")

    attempt("close", start(work()).close)


@scenario
async def ignoring_the_close():
    async def work():
        try:
            await asyncio.sleep(3600)
        except GeneratorExit:
            emit("ignored")
            await asyncio.sleep(0)

    coro = start(work())
    attempt("close", coro.close)


@scenario
async def throwing_half_way():
    event, lock, queue = asyncio.Event(), asyncio.Lock(), asyncio.Queue()
    await lock.acquire()
    for coro in (event.wait(), lock.acquire(), queue.get(), asyncio.sleep(3600)):
        attempt(coro.__qualname__, start(coro).throw, KeyError("thrown"))
        attempt("again", coro.send, None)
    lock.release()
    emit(lock.locked(), event, queue)


@scenario
async def dropped_half_way():
    async def work():
        try:
            await asyncio.sleep(3600)
        finally:
            emit("finally")

    coro = start(work())
    del coro
    emit("dropped")


@scenario
async def context_managers():
    async def in_timeout():
        async with asyncio.timeout(3600):
            await asyncio.sleep(3600)

    # A task group lets GeneratorExit through from 3.15 on, and here on each Python: tests/newer/test_task_groups.py.
    attempt("in_timeout", start(in_timeout()).close)
    await spin(2)


@scenario
async def task_of_a_closed_coroutine():
    async def work():
        return 1

    coro = work()
    coro.close()
    task = asyncio.create_task(coro)
    await asyncio.wait([task])
    emit(task.exception())
