"""The leak tests' shapes of locks and queues: waiters that are cancelled, closed, timed out or dropped, by the million.

Those of ``ferrio.extras`` are here too; another implementation has no such thing, and leaves them out.
"""

import asyncio
import contextlib
import os

WAITING = {}


def waiting(function):
    WAITING[function.__name__] = function
    return function


def batches(count, size=2000):
    return [min(size, count - start) for start in range(0, count, size)]


async def cancelled(count, start):
    """Makes `count` waiters by `start()` and cancels them: a third from the front, a third from the back, the rest."""
    for size in batches(count):
        tasks = [asyncio.create_task(start()) for _ in range(size)]
        await asyncio.sleep(0)
        third = size // 3
        for task in tasks[:third] + tasks[:-third:-1] + tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@waiting
async def lock_waiters_cancelled(count):
    lock = asyncio.Lock()
    async with lock:
        await cancelled(count, lock.acquire)
    assert not lock._waiters
    async with lock:
        assert lock.locked()


@waiting
async def event_waiters_cancelled(count):
    event = asyncio.Event()
    await cancelled(count, event.wait)
    assert not event._waiters


@waiting
async def semaphore_waiters_cancelled(count):
    semaphore = asyncio.Semaphore(0)
    await cancelled(count, semaphore.acquire)
    assert not semaphore._waiters


@waiting
async def bounded_semaphore_waiters_cancelled_when_waked(count):
    semaphore = asyncio.BoundedSemaphore(1)
    for size in batches(count // 4, 100):
        await semaphore.acquire()
        tasks = [asyncio.create_task(semaphore.acquire()) for _ in range(size)]
        await asyncio.sleep(0)
        semaphore.release()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert semaphore._value == 1


@waiting
async def condition_waiters_cancelled(count):
    condition = asyncio.Condition()

    async def wait():
        async with condition:
            await condition.wait()

    await cancelled(count // 2, wait)
    assert not condition._waiters
    assert not condition.locked()


@waiting
async def condition_predicates_that_fail(count):
    condition = asyncio.Condition()

    def predicate():
        raise ValueError(condition)

    async with condition:
        for _ in range(count // 4):
            with contextlib.suppress(ValueError):
                await condition.wait_for(predicate)


@waiting
async def barrier_waiters_cancelled(count):
    barrier = asyncio.Barrier(10**9)
    await cancelled(count // 4, barrier.wait)
    assert barrier.n_waiting == 0


@waiting
async def barriers_broken(count):
    for size in batches(count // 4, 100):
        barrier = asyncio.Barrier(size + 1)
        tasks = [asyncio.create_task(barrier.wait()) for _ in range(size)]
        await asyncio.sleep(0)
        await barrier.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


@waiting
async def queue_getters_cancelled(count):
    queue = asyncio.Queue()
    await cancelled(count, queue.get)
    assert not queue._getters


@waiting
async def queue_putters_cancelled(count):
    queue = asyncio.Queue(1)
    queue.put_nowait("full")
    await cancelled(count, lambda: queue.put([queue]))
    assert not queue._putters
    assert queue.qsize() == 1


@waiting
async def queue_joiners_cancelled(count):
    queue = asyncio.PriorityQueue()
    queue.put_nowait(1)
    await cancelled(count, queue.join)


CROWDED = []
"""What has seen a crowd once, and lives on."""


@waiting
async def crowds_that_have_gone(count):
    # More tasks at once than these would show what the free lists keep hold of, and not what the lines do.
    for size in batches(min(count, 20_000), 5000):
        for kind, name in ((asyncio.Event, "wait"), (asyncio.Semaphore, "acquire"), (asyncio.Queue, "get")):
            primitive = kind(0) if kind is asyncio.Semaphore else kind()
            tasks = [asyncio.create_task(getattr(primitive, name)()) for _ in range(size)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            CROWDED.append(primitive)
    for _ in range(4):
        queue = asyncio.Queue()
        for _ in range(count):
            queue.put_nowait(None)
        while not queue.empty():
            queue.get_nowait()
        CROWDED.append(queue)


@waiting
async def queues_of_every_kind(count):
    for _ in range(count // 20):
        for kind in (asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue):
            queue = kind(2)
            queue.put_nowait(2)
            await queue.put(1)
            assert len(queue._queue) == 2
            await queue.get()
            repr(queue)


@waiting
async def subclasses_of_everything(count):
    class Lock(asyncio.Lock):
        async def acquire(self):
            return await super().acquire()

    class Queue(asyncio.Queue):
        def _init(self, maxsize):
            self._queue = {}

        def _put(self, item):
            self._queue[item] = self

        def _get(self):
            return self._queue.popitem()[0]

    for _ in range(count // 20):
        async with Lock() as nothing:
            assert nothing is None
        queue = Queue(3)
        queue.itself = queue
        await queue.put("x")
        assert await queue.get() == "x"


@waiting
async def waits_closed_half_way(count):
    lock, semaphore = asyncio.Lock(), asyncio.Semaphore(0)
    condition, barrier, queue = asyncio.Condition(), asyncio.Barrier(5), asyncio.Queue(1)
    queue.put_nowait("full")
    await lock.acquire()
    for _ in range(count // 10):
        for coro in (lock.acquire(), semaphore.acquire(), barrier.wait(), queue.put("more"), queue.join()):
            coro.send(None)
            coro.close()
        async with condition:
            coro = condition.wait()
            coro.send(None)
            coro.close()
    assert not barrier._cond.locked()


if os.environ.get("FERRIO_TEST_IMPL", "ferrio") == "ferrio":

    @waiting
    async def extras_limited(count):
        from ferrio.extras import gather_limited, map_limited

        async def job(i):
            await asyncio.sleep(0)
            if i % 10 == 9:
                raise ValueError(i)
            return [i]

        for _ in range(count // 100):
            with contextlib.suppress(ValueError):
                await gather_limited(3, *[job(i) for i in range(12)])
            async with contextlib.aclosing(map_limited(job, range(9), limit=2, ordered=False)) as results:
                async for result in results:
                    if result == [5]:
                        break

    @waiting
    async def extras_thread_queue_waiters_cancelled(count):
        from ferrio.extras import ThreadQueue

        empty, full = ThreadQueue(), ThreadQueue(1)
        full.put_nowait(full)
        await cancelled(count // 2, empty.aget)
        await cancelled(count // 2, lambda: full.aput("more"))
        await cancelled(count // 4, full.ajoin)

    @waiting
    async def extras_rate_limiter_waiters_cancelled(count):
        from ferrio.extras import RateLimiter

        limiter = RateLimiter(0.001)
        await limiter.acquire()
        await cancelled(count // 2, limiter.acquire)
