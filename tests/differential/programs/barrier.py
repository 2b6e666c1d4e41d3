"""Barrier: filling, draining, abort and reset."""

import asyncio

from observe import attempt, emit, outcome, scenario, spin


@scenario
async def fills():
    barrier = asyncio.Barrier(3)
    emit(barrier, barrier.parties, barrier.n_waiting, barrier.broken)
    tasks = [asyncio.create_task(barrier.wait()) for _ in range(2)]
    await spin()
    emit(barrier.n_waiting, barrier)
    emit(await barrier.wait(), sorted(await asyncio.gather(*tasks)))
    await spin(2)
    emit(barrier)


@scenario
async def reused():
    barrier = asyncio.Barrier(2)

    async def worker(name):
        for i in range(2):
            await barrier.wait()
            emit(name, i)

    await asyncio.gather(worker("a"), worker("b"))


@scenario
async def context_manager():
    barrier = asyncio.Barrier(2)

    async def worker():
        async with barrier as position:
            return position

    emit(sorted(await asyncio.gather(worker(), worker())))


@scenario
async def bad_parties():
    attempt("zero", asyncio.Barrier, 0)
    attempt("negative", asyncio.Barrier, -1)
    emit(await asyncio.Barrier(1).wait())


@scenario
async def abort():
    barrier = asyncio.Barrier(3)
    task = asyncio.create_task(barrier.wait())
    await spin()
    await barrier.abort()
    emit(barrier, barrier.broken)
    await outcome("waiting", task)
    await outcome("new", barrier.wait())
    await barrier.reset()
    emit(barrier.broken, barrier)


@scenario
async def reset():
    barrier = asyncio.Barrier(3)
    task = asyncio.create_task(barrier.wait())
    await spin()
    await barrier.reset()
    await outcome("waiting", task)
    await spin()
    emit(barrier)


@scenario
async def cancelled():
    barrier = asyncio.Barrier(2)
    task = asyncio.create_task(barrier.wait())
    await spin()
    task.cancel("left")
    await outcome("waiting", task)
    emit(barrier.n_waiting, barrier.broken)
    emit(sorted(await asyncio.gather(barrier.wait(), barrier.wait())))
