"""wait_for: results, timeouts, cancellation, and the races between them."""

import asyncio

from observe import attempt, chain, emit, outcome, scenario, spin


async def value(x):
    await asyncio.sleep(0)
    return x


async def forever():
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError as exc:
        emit("inner cancelled", list(exc.args))
        raise


@scenario
async def in_time():
    emit(await asyncio.wait_for(value(1), 60), await asyncio.wait_for(value(2), None))
    fut = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(fut.set_result, 3)
    emit(await asyncio.wait_for(fut, 60))
    emit(await asyncio.wait_for(asyncio.create_task(value(4)), timeout=60))


@scenario
async def too_late():
    await outcome("coroutine", asyncio.wait_for(forever(), 0.001))
    task = asyncio.create_task(forever())
    await outcome("task", asyncio.wait_for(task, 0.001))
    emit(task.cancelled())
    fut = asyncio.get_running_loop().create_future()
    await outcome("future", asyncio.wait_for(fut, 0.001))
    emit(fut.cancelled())


@scenario
async def zero_and_negative():
    for timeout in (0, -1):
        await outcome("coroutine", asyncio.wait_for(value("v"), timeout))
        fut = asyncio.get_running_loop().create_future()
        await outcome("future", asyncio.wait_for(fut, timeout))
        emit(fut.cancelled())
        fut = asyncio.get_running_loop().create_future()
        fut.set_result("ready")
        await outcome("done future", asyncio.wait_for(fut, timeout))


@scenario
async def timeout_chain():
    try:
        await asyncio.wait_for(forever(), 0.001)
    except TimeoutError as exc:
        emit(exc, list(exc.args), chain(exc)[0][:2], exc is not None, asyncio.TimeoutError is TimeoutError)


@scenario
async def exceptions_pass():
    async def fails():
        raise KeyError("inside")

    await outcome("fails", asyncio.wait_for(fails(), 60))

    async def timeout_inside():
        raise TimeoutError("its own")

    await outcome("its own timeout", asyncio.wait_for(timeout_inside(), 60))


@scenario(since=(3, 12))
async def outer_cancelled():
    task = asyncio.create_task(asyncio.wait_for(forever(), 60))
    await spin(2)
    task.cancel("outer")
    await outcome("wait_for", task)
    emit(task.cancelled())


@scenario
async def inner_cancelled():
    inner = asyncio.create_task(forever())
    task = asyncio.create_task(asyncio.wait_for(inner, 60))
    await spin(2)
    inner.cancel("inner")
    await outcome("wait_for", task)
    emit(task.cancelled(), task.cancelling())


@scenario
async def inner_resists_cancellation():
    async def resists():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit("resisted")
            return "a late result"

    await outcome("timeout", asyncio.wait_for(resists(), 0.001))


@scenario
async def inner_fails_when_cancelled():
    async def fails():
        try:
            await asyncio.sleep(3600)
        finally:
            raise ZeroDivisionError("in cleanup")

    await outcome("timeout", asyncio.wait_for(fails(), 0.001))


@scenario
async def cancelled_and_done_together():
    fut = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(asyncio.wait_for(fut, 60))
    await spin(2)
    fut.set_result("result")
    task.cancel()
    await outcome("both", task)


@scenario(since=(3, 12))
async def wrong_arguments():
    await outcome("not awaitable", asyncio.wait_for(5, 1))
    coro = value(1)
    await outcome("timeout is text", asyncio.wait_for(coro, "1"))
    coro.close()
    attempt("lazy", lambda: asyncio.wait_for(5, 1).close())


@scenario
async def nested():
    await outcome("inner first", asyncio.wait_for(asyncio.wait_for(forever(), 0.001), 60))
    await outcome("outer first", asyncio.wait_for(asyncio.wait_for(forever(), 60), 0.001))


@scenario
async def shielded():
    inner = asyncio.create_task(forever())
    await outcome("shielded", asyncio.wait_for(asyncio.shield(inner), 0.001))
    emit(inner.done())
    inner.cancel("clean up")
    await outcome("inner", inner)


@scenario(since=(3, 12))
async def runs_in_the_same_task():
    me = asyncio.current_task()

    async def who():
        emit(asyncio.current_task() is me)

    await asyncio.wait_for(who(), 60)


@scenario
async def no_task_left_behind():
    await outcome("timeout", asyncio.wait_for(forever(), 0.001))
    emit(len(asyncio.all_tasks()))
