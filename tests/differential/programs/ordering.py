"""The order between tasks, futures, callbacks and timers in one program."""

import asyncio

from observe import emit, scenario, spin


@scenario
async def everything_at_once():
    loop = asyncio.get_running_loop()
    fut = loop.create_future()

    async def waiter(name):
        await fut
        emit("waiter", name)

    tasks = [asyncio.create_task(waiter(i)) for i in range(2)]
    await spin()
    fut.add_done_callback(lambda f: emit("done callback"))
    loop.call_soon(emit, "soon before")
    loop.call_at(0, emit, "timer long due")
    fut.set_result(None)
    loop.call_soon(emit, "soon after")
    task = asyncio.create_task(waiter("late"))
    await asyncio.gather(*tasks, task)
    emit("end")


@scenario
async def chain_of_tasks():
    async def link(n):
        emit("enter", n)
        if n:
            await asyncio.create_task(link(n - 1))
        emit("leave", n)

    asyncio.get_running_loop().call_soon(emit, "callback")
    await link(4)


@scenario(since=(3, 12))
async def turns_of_a_wakeup():
    """How many turns pass between an event and the code that waits for it."""
    loop = asyncio.get_running_loop()
    turns = 0

    def tick():
        nonlocal turns
        turns += 1
        if turns < 20:
            loop.call_soon(tick)

    loop.call_soon(tick)
    await asyncio.sleep(0)
    emit("sleep(0)", turns)
    fut = loop.create_future()
    fut.set_result(None)
    await fut
    emit("done future", turns)
    before = turns
    await asyncio.create_task(asyncio.sleep(0))
    emit("task", turns - before)
    before = turns
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
    emit("gather", turns - before)
    before = turns
    await asyncio.wait_for(asyncio.sleep(0), 60)
    emit("wait_for", turns - before)
    before = turns
    async with asyncio.TaskGroup() as tg:
        tg.create_task(asyncio.sleep(0))
    emit("task group", turns - before)


@scenario
async def ping_pong():
    ping, pong = asyncio.Queue(), asyncio.Queue()

    async def player(name, inbox, outbox):
        for _ in range(3):
            emit(name, await inbox.get())
            outbox.put_nowait(name)

    ping.put_nowait("start")
    await asyncio.gather(player("ping", ping, pong), player("pong", pong, ping))


@scenario
async def gather_wakes_in_order_of_completion():
    order = []

    async def worker(n, turns):
        await spin(turns)
        order.append(n)

    await asyncio.gather(*(worker(n, turns) for n, turns in enumerate((5, 1, 3, 1, 0))))
    emit(order)


@scenario
async def callbacks_and_cancellation():
    fut = asyncio.get_running_loop().create_future()

    async def waiter():
        try:
            await fut
        finally:
            emit("waiter ends")

    task = asyncio.create_task(waiter())
    await spin()
    task.add_done_callback(lambda t: emit("task done", t.cancelled()))
    fut.add_done_callback(lambda f: emit("future done", f.cancelled()))
    task.cancel()
    emit("cancel called", fut.cancelled())
    await spin(4)
