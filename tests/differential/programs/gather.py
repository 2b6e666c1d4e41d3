"""gather: order, exceptions, cancellation from inside and outside, duplicates."""

import asyncio

from observe import attempt, emit, new_loop, outcome, scenario, spin, watch_exceptions


async def value(x, turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    emit("finished", x)
    return x


async def fails(text, turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    raise ValueError(text)


async def forever(label):
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError as exc:
        emit(label, "cancelled", list(exc.args))
        raise


@scenario
async def results_in_order():
    emit(await asyncio.gather(value("a", 3), value("b", 1), value("c", 2)))


@scenario
async def empty():
    result = asyncio.gather()
    emit(type(result), result.done())
    emit(await result)


@scenario
def empty_without_a_loop():
    attempt("gather", asyncio.gather)


@scenario
def without_a_running_loop():
    coro = value(1)
    attempt("gather", asyncio.gather, coro)
    coro.close()
    loop = new_loop()
    fut = loop.create_future()
    gathered = asyncio.gather(fut)
    fut.set_result(5)
    emit(loop.run_until_complete(gathered))
    loop.close()


@scenario
async def first_exception():
    other = asyncio.create_task(value("other", 5))
    await outcome("gather", asyncio.gather(fails("first", 1), fails("second", 2), other))
    emit(other.done(), await other)


@scenario
async def return_exceptions():
    emit(await asyncio.gather(value(1), fails("two"), value(3, 2), return_exceptions=True))


@scenario
async def child_cancelled():
    for flag in (False, True):
        child = asyncio.create_task(forever("child"))
        gathered = asyncio.gather(child, value("other", 2), return_exceptions=flag)
        await spin()
        child.cancel("child only")
        await outcome(f"return_exceptions={flag}", gathered)
        emit(gathered.cancelled())
        await spin(3)


@scenario
async def outer_cancelled():
    for flag in (False, True):
        children = [asyncio.create_task(forever(i)) for i in range(3)]
        gathered = asyncio.gather(*children, return_exceptions=flag)
        await spin()
        emit(gathered.cancel("whole"), gathered.done())
        await outcome(f"return_exceptions={flag}", gathered)
        emit([c.cancelled() for c in children], gathered.cancelled(), gathered.cancel())


@scenario
async def waiting_task_cancelled():
    children = [asyncio.create_task(forever(i)) for i in range(2)]

    async def waiter():
        await asyncio.gather(*children)

    task = asyncio.create_task(waiter())
    await spin(2)
    task.cancel("the waiter")
    await outcome("waiter", task)
    emit([c.cancelled() for c in children])


@scenario
async def cancel_when_children_resist():
    async def resists():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "resisted"

    gathered = asyncio.gather(resists(), resists())
    await spin()
    gathered.cancel()
    await outcome("gather", gathered)


@scenario
async def duplicates():
    coro = value("once")
    fut = asyncio.get_running_loop().create_future()
    gathered = asyncio.gather(coro, fut, coro, fut)
    fut.set_result("future")
    emit(await gathered)


@scenario
async def nested():
    emit(await asyncio.gather(asyncio.gather(value(1), value(2)), value(3), asyncio.gather()))
    inner = asyncio.gather(forever("a"), forever("b"))
    outer = asyncio.gather(inner, forever("c"))
    await spin(2)
    outer.cancel("outermost")
    await outcome("nested", outer)
    emit(inner.cancelled())


@scenario
async def already_done():
    loop = asyncio.get_running_loop()
    one, two = loop.create_future(), loop.create_future()
    one.set_result(1)
    two.set_exception(KeyError("two"))
    gathered = asyncio.gather(one, two, return_exceptions=True)
    emit(gathered.done())
    emit(await gathered)
    await outcome("raising", asyncio.gather(one, two))


@scenario
async def all_done_before():
    fut = asyncio.get_running_loop().create_future()
    fut.set_result(1)
    gathered = asyncio.gather(fut, fut)
    emit(gathered.done())
    emit(await gathered)


@scenario
async def wrong_arguments():
    for item in (None, 1, "text", value):
        attempt("gather", asyncio.gather, item)
    attempt("mixed", lambda: asyncio.gather(asyncio.get_running_loop().create_future(), 5))
    await spin(2)


@scenario
async def different_loops():
    loop = new_loop()
    here, there = asyncio.get_running_loop().create_future(), loop.create_future()
    attempt("two loops", asyncio.gather, here, there)
    loop.close()


@scenario
async def child_exceptions_never_retrieved():
    children = [asyncio.create_task(fails(f"child {i}")) for i in range(3)]
    await outcome("gather", asyncio.gather(*children))
    del children


@scenario
async def gathered_never_retrieved():
    watch_exceptions(asyncio.get_running_loop())
    gathered = asyncio.gather(fails("inside"), value(1, 3))
    await spin(6)
    emit(gathered.done())
    del gathered
    import gc

    gc.collect()


@scenario(
    differs="stock keeps the call graph by done callbacks since 3.14, ferrio without them",
    differs_in=[(3, 14), (3, 15)],
    expected=[
        ["event", "<_GatheringFuture pending>"],
        ["event", "finished", 1],
        ["event", ["awaitable", 1]],
        ["event", "<_GatheringFuture finished result=['awaitable', 1]>"],
    ],
)
async def repr_and_awaitables():
    class Awaitable:
        def __await__(self):
            yield
            return "awaitable"

    gathered = asyncio.gather(Awaitable(), value(1))
    emit(gathered)
    emit(await gathered)
    emit(gathered)


@scenario
async def base_exception_result():
    async def raises():
        raise asyncio.CancelledError("raised by hand")

    emit(await asyncio.gather(raises(), value(1), return_exceptions=True))
    await outcome("raising", asyncio.gather(raises(), value(1)))


@scenario
async def set_result_on_gathering_future():
    gathered = asyncio.gather(forever("child"))
    await spin()
    gathered.set_result("by hand")
    emit(await gathered)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel("clean up")
    await spin(3)
