"""shield: what is protected, what is logged."""

import asyncio

from observe import attempt, emit, new_loop, outcome, scenario, spin, watch_exceptions


async def forever():
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError as exc:
        emit("inner cancelled", list(exc.args))
        raise


@scenario
async def result_and_exception():
    async def fails():
        raise ValueError("inside")

    emit(await asyncio.shield(asyncio.sleep(0, "value")))
    await outcome("fails", asyncio.shield(fails()))


@scenario
async def outer_cancelled():
    inner = asyncio.create_task(forever())
    outer = asyncio.shield(inner)
    emit(outer.cancel("outer only"), outer.cancelled(), inner.cancelled())
    await outcome("outer", outer)
    await spin()
    inner.cancel("now the inner")
    await outcome("inner", inner)


@scenario
async def inner_cancelled():
    inner = asyncio.create_task(forever())
    outer = asyncio.shield(inner)
    await spin()
    inner.cancel("inner")
    await outcome("outer", outer)
    emit(outer.cancelled())


@scenario
async def inner_fails_after_outer_is_gone():
    watch_exceptions(asyncio.get_running_loop())
    inner = asyncio.get_running_loop().create_future()
    outer = asyncio.shield(inner)
    outer.cancel()
    await spin(2)
    inner.set_exception(ValueError("too late"))
    await spin(2)
    del inner, outer


@scenario
async def inner_done_already():
    inner = asyncio.get_running_loop().create_future()
    inner.set_result("done")
    outer = asyncio.shield(inner)
    emit(outer is inner, await outer)


@scenario
async def task_awaiting_a_shield():
    inner = asyncio.create_task(forever())

    async def waiter():
        await asyncio.shield(inner)

    task = asyncio.create_task(waiter())
    await spin(2)
    task.cancel("waiter")
    await outcome("waiter", task)
    emit(inner.done(), inner)
    inner.cancel()
    await outcome("inner", inner)


@scenario
async def gather_of_shields():
    go = asyncio.Event()

    async def child(number):
        await go.wait()
        return number

    children = [asyncio.create_task(child(i)) for i in range(2)]
    gathered = asyncio.gather(*(asyncio.shield(c) for c in children))
    await spin()
    gathered.cancel()
    await outcome("gather", gathered)
    go.set()
    emit(await asyncio.gather(*children))


@scenario
async def wrong_arguments():
    attempt("number", asyncio.shield, 5)
    attempt("None", asyncio.shield, None)


@scenario
def without_a_loop():
    coro = asyncio.sleep(0)
    attempt("coroutine", asyncio.shield, coro)
    coro.close()
    loop = new_loop()
    fut = loop.create_future()
    outer = asyncio.shield(fut)
    emit(outer.get_loop() is loop, outer)
    fut.set_result(1)
    emit(loop.run_until_complete(outer))
    loop.close()
