"""as_completed: order, timeouts, errors; asynchronous iteration (3.13)."""

import asyncio

from observe import attempt, emit, outcome, scenario, spin


async def value(x, turns):
    for _ in range(turns):
        await asyncio.sleep(0)
    return x


async def fails(turns):
    for _ in range(turns):
        await asyncio.sleep(0)
    raise ValueError("failed")


@scenario
async def plain_iteration():
    for coro in asyncio.as_completed([value("slow", 4), value("fast", 1), value("medium", 2)]):
        emit(await coro)


@scenario
async def exceptions():
    for coro in asyncio.as_completed([value(1, 3), fails(1)]):
        await outcome("next", coro)


@scenario
async def timeout():
    tasks = [asyncio.create_task(value(1, 1)), asyncio.create_task(asyncio.sleep(3600))]
    for coro in asyncio.as_completed(tasks, timeout=0.02):
        await outcome("next", coro)
    emit(tasks[1].done())
    tasks[1].cancel()
    await spin(2)


@scenario
async def empty():
    emit(list(asyncio.as_completed([])))


@scenario
async def duplicates():
    coro = value("once", 1)
    results = [await c for c in asyncio.as_completed([coro, coro])]
    emit(results)


@scenario(
    differs="`as_completed()` refuses a wrong argument in the words of 3.13, on every Python.",
    differs_in=[(3, 11), (3, 12)],
    expected=[
        [
            "event",
            "future",
            "raised",
            {"exception": "TypeError", "message": "expects an iterable of awaitables, not Future"},
        ],
        [
            "event",
            "coroutine",
            "raised",
            {"exception": "TypeError", "message": "expects an iterable of awaitables, not coroutine"},
        ],
        ["event", "number", "raised", {"exception": "TypeError", "message": "'int' object is not iterable"}],
        [
            "event",
            "numbers",
            "raised",
            {
                "exception": "TypeError",
                "message": "An asyncio.Future, a coroutine or an awaitable is required",
            },
        ],
    ],
)
async def bad_arguments():
    fut = asyncio.get_running_loop().create_future()
    attempt("future", lambda: list(asyncio.as_completed(fut)))
    coro = value(1, 1)
    attempt("coroutine", lambda: list(asyncio.as_completed(coro)))
    coro.close()
    attempt("number", lambda: list(asyncio.as_completed(5)))
    attempt("numbers", lambda: list(asyncio.as_completed([5])))
    fut.cancel()


@scenario
async def one_cancelled():
    tasks = [asyncio.create_task(asyncio.sleep(3600)), asyncio.create_task(value(2, 4))]
    await spin()
    tasks[0].cancel("cancelled")
    for coro in asyncio.as_completed(tasks):
        await outcome("next", coro)


@scenario(since=(3, 13))
async def async_iteration():
    tasks = [asyncio.create_task(value(n, n)) for n in (3, 1, 2)]
    async for task in asyncio.as_completed(tasks):
        emit(task in tasks, task.done(), await task)


@scenario(since=(3, 13))
async def async_iteration_timeout():
    tasks = [asyncio.create_task(value(1, 1)), asyncio.create_task(asyncio.sleep(3600))]

    async def iterate():
        async for task in asyncio.as_completed(tasks, timeout=0.02):
            emit(await task)

    await outcome("iterate", iterate())
    tasks[1].cancel()
    await spin(2)


@scenario(since=(3, 13))
async def mixed_iteration():
    iterator = asyncio.as_completed([value(1, 1), value(2, 2)])
    emit(await next(iterator))
    emit(await (await anext(iterator)))
    attempt("exhausted", next, iterator)
    await outcome("exhausted", anext(iterator))
