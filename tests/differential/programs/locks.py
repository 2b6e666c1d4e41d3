"""Lock: fairness, cancellation, misuse, reprs."""

import asyncio

from observe import attempt, attempt_type, emit, outcome, scenario, spin


@scenario
async def order():
    lock = asyncio.Lock()

    async def worker(name):
        async with lock:
            emit("got it", name, lock.locked())
            await asyncio.sleep(0)

    await asyncio.gather(*(worker(i) for i in range(4)))
    emit(lock.locked(), lock)


@scenario
async def acquire_and_release():
    lock = asyncio.Lock()
    emit(await lock.acquire(), lock.locked(), lock)
    emit(lock.release(), lock.locked(), lock)
    attempt("release again", lock.release)


@scenario
async def waiters_in_repr():
    lock = asyncio.Lock()
    await lock.acquire()
    tasks = [asyncio.create_task(lock.acquire()) for _ in range(2)]
    await spin()
    emit(lock)
    lock.release()
    await tasks[0]
    lock.release()
    await tasks[1]
    emit(lock)


@scenario
async def cancelled_waiter():
    lock = asyncio.Lock()
    await lock.acquire()
    first, second = (asyncio.create_task(lock.acquire()) for _ in range(2))
    await spin()
    first.cancel("impatient")
    await outcome("first", first)
    lock.release()
    emit(await second, lock.locked())


@scenario
async def cancelled_when_woken():
    lock = asyncio.Lock()
    await lock.acquire()
    first, second = (asyncio.create_task(lock.acquire(), name=n) for n in ("first", "second"))
    await spin()
    lock.release()
    first.cancel()
    await outcome("first", first)
    emit(await second, lock.locked())


@scenario
async def no_barging():
    lock = asyncio.Lock()
    await lock.acquire()
    waiter = asyncio.create_task(lock.acquire())
    await spin()
    lock.release()
    emit(lock.locked())
    barger = asyncio.create_task(lock.acquire())
    await spin(2)
    emit(waiter.done(), barger.done())
    lock.release()
    await barger


@scenario
async def exception_inside():
    lock = asyncio.Lock()

    async def fails():
        async with lock:
            raise KeyError("inside")

    await outcome("body", fails())
    emit(lock.locked())


@scenario
async def context_manager_misuse():
    lock = asyncio.Lock()

    def plain_with():
        with lock:
            pass

    attempt_type("with", plain_with)
    await outcome("await lock", awaits(lock))
    async with lock as value:
        emit(value)


async def awaits(thing):
    await thing


@scenario
def across_loops():
    lock = asyncio.Lock()

    async def hold():
        await lock.acquire()
        waiter = asyncio.create_task(lock.acquire())
        await spin()
        waiter.cancel()

    async def contend():
        await outcome("other loop", lock.acquire())

    asyncio.run(hold())
    asyncio.run(contend())


@scenario
async def arguments():
    attempt_type("loop", lambda: asyncio.Lock(loop=None))
    attempt_type("positional", asyncio.Lock, 1)


@scenario
async def lazy_acquire():
    lock = asyncio.Lock()
    coro = lock.acquire()
    emit(asyncio.iscoroutine(coro), lock.locked())
    coro.close()
    emit(lock.locked())
