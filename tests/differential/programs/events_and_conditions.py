"""Event and Condition."""

import asyncio

from observe import attempt, emit, outcome, scenario, spin


@scenario
async def event():
    event = asyncio.Event()
    emit(event, event.is_set())
    tasks = [asyncio.create_task(event.wait()) for _ in range(3)]
    await spin()
    emit(event)
    event.set()
    emit(event, [t.done() for t in tasks])
    emit(await asyncio.gather(*tasks))
    emit(await event.wait())
    event.clear()
    emit(event.is_set())
    event.set()
    event.set()
    emit(event.is_set())


@scenario
async def event_cleared_before_waiters_run():
    event = asyncio.Event()
    task = asyncio.create_task(event.wait())
    await spin()
    event.set()
    event.clear()
    emit(await task, event.is_set())


@scenario
async def event_cancelled_waiter():
    event = asyncio.Event()
    task = asyncio.create_task(event.wait())
    await spin()
    task.cancel("no patience")
    await outcome("wait", task)
    emit(event)


@scenario
async def condition_notify():
    cond = asyncio.Condition()
    log = []

    async def waiter(i):
        async with cond:
            emit("waits", i)
            log.append((i, await cond.wait(), cond.locked()))

    tasks = [asyncio.create_task(waiter(i)) for i in range(4)]
    await spin(2)
    emit(cond)
    async with cond:
        cond.notify()
    await spin(3)
    emit(log)
    async with cond:
        cond.notify(2)
    await spin(5)
    emit(log)
    async with cond:
        cond.notify_all()
    await asyncio.gather(*tasks)
    emit(log, cond)


@scenario
async def condition_without_the_lock():
    cond = asyncio.Condition()
    attempt("notify", cond.notify)
    attempt("notify_all", cond.notify_all)
    await outcome("wait", cond.wait())
    await outcome("wait_for", cond.wait_for(lambda: False))
    attempt("release", cond.release)


@scenario
async def condition_wait_for():
    cond = asyncio.Condition()
    value = 0

    async def waiter():
        async with cond:
            result = await cond.wait_for(lambda: value >= 2 and f"value {value}")
            emit(result)

    task = asyncio.create_task(waiter())
    for i in range(1, 4):
        await spin(2)
        async with cond:
            value = i
            cond.notify_all()
        emit("set", i)
    await task


@scenario
async def condition_cancelled():
    cond = asyncio.Condition()

    async def waiter():
        async with cond:
            try:
                await cond.wait()
            finally:
                emit("holds the lock again", cond.locked())

    task = asyncio.create_task(waiter())
    await spin(2)
    task.cancel("stop waiting")
    await outcome("waiter", task)
    emit(cond.locked(), cond)


@scenario
async def condition_cancelled_while_the_lock_is_taken():
    cond = asyncio.Condition()

    async def waiter():
        async with cond:
            await cond.wait()

    task = asyncio.create_task(waiter())
    await spin(2)
    await cond.acquire()
    task.cancel("stop waiting")
    await spin(3)
    emit(task.done())
    cond.release()
    await outcome("waiter", task)


@scenario
async def shared_lock():
    lock = asyncio.Lock()
    one, two = asyncio.Condition(lock), asyncio.Condition(lock)
    async with one:
        emit(two.locked(), lock.locked())
    emit(lock.locked())


@scenario
async def predicate_fails():
    cond = asyncio.Condition()

    def predicate():
        raise ZeroDivisionError("predicate")

    async def waiter():
        async with cond:
            await cond.wait_for(predicate)

    await outcome("wait_for", waiter())
    emit(cond.locked())
