"""Semaphore and BoundedSemaphore."""

import asyncio

from observe import attempt, emit, outcome, scenario, spin


@scenario
async def limits():
    sem = asyncio.Semaphore(2)
    running = 0

    async def worker(i):
        nonlocal running
        async with sem:
            running += 1
            emit(i, running, sem.locked())
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(worker(i) for i in range(5)))
    emit(sem, sem.locked())


@scenario
async def bad_values():
    attempt("negative", asyncio.Semaphore, -1)
    attempt("bounded negative", asyncio.BoundedSemaphore, -5)
    attempt("text", asyncio.Semaphore, "1")
    emit(asyncio.Semaphore(0), asyncio.Semaphore(), asyncio.BoundedSemaphore(3))


@scenario
async def bounded():
    sem = asyncio.BoundedSemaphore(1)
    await sem.acquire()
    emit(sem.locked(), sem)
    sem.release()
    attempt("too often", sem.release)
    plain = asyncio.Semaphore(1)
    plain.release()
    emit(plain)


@scenario
async def order_of_waiters():
    sem = asyncio.Semaphore(0)
    got = []

    async def worker(i):
        await sem.acquire()
        got.append(i)

    tasks = [asyncio.create_task(worker(i)) for i in range(4)]
    await spin()
    emit(sem)
    sem.release()
    sem.release()
    await spin(3)
    emit(got)
    sem.release()
    sem.release()
    await asyncio.gather(*tasks)
    emit(got)


@scenario
async def cancelled_waiter():
    sem = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(sem.acquire()) for _ in range(3)]
    await spin()
    tasks[0].cancel()
    sem.release()
    await spin(3)
    emit([t.done() for t in tasks], [t.cancelled() for t in tasks])
    tasks[2].cancel()
    await outcome("last", tasks[2])
    emit(sem)


@scenario
async def cancelled_when_woken():
    sem = asyncio.Semaphore(0)
    first, second = (asyncio.create_task(sem.acquire()) for _ in range(2))
    await spin()
    sem.release()
    first.cancel()
    await outcome("first", first)
    await outcome("second", second)
    emit(sem)


@scenario
async def no_barging():
    sem = asyncio.Semaphore(1)
    await sem.acquire()
    waiter = asyncio.create_task(sem.acquire())
    await spin()
    sem.release()
    emit(sem.locked())
    barger = asyncio.create_task(sem.acquire())
    await spin(3)
    emit(waiter.done(), barger.done())
    sem.release()
    await barger


@scenario
def across_loops():
    sem = asyncio.Semaphore(0)

    async def wait():
        await outcome("acquire", asyncio.wait_for(sem.acquire(), 0.001))

    asyncio.run(wait())
    asyncio.run(wait())
