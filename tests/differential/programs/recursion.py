"""Depth: long chains of awaits, tasks, callbacks and futures."""

import asyncio

from observe import emit, outcome, scenario, spin


@scenario
async def endless_recursion():
    async def down(n):
        return await down(n + 1)

    try:
        await down(0)
    except RecursionError as exc:
        emit(type(exc))
    emit(await asyncio.sleep(0, "still works"))


@scenario
async def in_a_task():
    async def down(n):
        return await down(n + 1)

    task = asyncio.create_task(down(0))
    await asyncio.wait([task])
    emit(type(task.exception()))


@scenario
async def deep_await():
    async def down(n):
        return n if n == 0 else await down(n - 1) + 1

    emit(await down(200))


@scenario
async def long_chain_of_tasks():
    async def link(task):
        return await task + 1 if task else 0

    task = None
    for _ in range(2000):
        task = asyncio.create_task(link(task))
    emit(await task)


@scenario
async def long_chain_of_tasks_cancelled_at_the_end():
    async def link(awaitable):
        await awaitable

    first = asyncio.get_running_loop().create_future()
    chain = [asyncio.create_task(link(first))]
    for _ in range(50):
        chain.append(asyncio.create_task(link(chain[-1])))
    await spin(3)
    chain[-1].cancel("from the end")
    await outcome("last", chain[-1])
    emit(all(task.cancelled() for task in chain), first.cancelled())


@scenario
async def chain_of_done_callbacks():
    loop = asyncio.get_running_loop()
    first = fut = loop.create_future()
    for _ in range(3000):
        following = loop.create_future()
        fut.add_done_callback(lambda f, n=following: n.set_result(f.result() + 1))
        fut = following
    first.set_result(0)
    emit(await fut)


@scenario
async def nested_groups():
    async def level(n):
        async with asyncio.TaskGroup() as tg:
            if n:
                tg.create_task(level(n - 1))
            else:
                tg.create_task(fails())

    async def fails():
        raise ValueError("at the bottom")

    try:
        await level(5)
    except ExceptionGroup as group:
        depth = 0
        while isinstance(group, ExceptionGroup):
            group = group.exceptions[0]
            depth += 1
        emit(depth, group)


@scenario
async def nested_timeouts():
    async def level(n):
        async with asyncio.timeout(60):
            return await level(n - 1) + 1 if n else 0

    emit(await level(50))


@scenario
async def wide():
    emit(sum(await asyncio.gather(*(asyncio.sleep(0, i) for i in range(3000)))))
    emit(len((await asyncio.wait([asyncio.create_task(asyncio.sleep(0)) for _ in range(1000)]))[0]))
