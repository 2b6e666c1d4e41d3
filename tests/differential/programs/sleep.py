"""asyncio.sleep: results, cancellation, odd arguments, laziness."""

import asyncio

from observe import attempt, attempt_type, emit, outcome, scenario, spin


@scenario
async def cancelled_while_sleeping():
    task = asyncio.create_task(asyncio.sleep(3600, "never"))
    await spin(2)
    task.cancel("enough")
    await outcome("sleep", task)
    emit(task.cancelled(), task)


@scenario
async def lazy():
    coro = asyncio.sleep(3600)
    emit(asyncio.iscoroutine(coro), coro.__name__, coro.__qualname__)
    coro.close()
    attempt("closed", coro.send, None)


@scenario
async def never_awaited():
    asyncio.sleep(0)
    asyncio.sleep(1)


@scenario
async def odd_delays():
    await outcome("text", asyncio.sleep("1"))
    await outcome("None", asyncio.sleep(None))
    await outcome("bool", asyncio.sleep(False, "done"))
    await outcome("tiny", asyncio.sleep(1e-9, "done"))


@scenario(since=(3, 13))
async def not_a_number():
    await outcome("nan", asyncio.sleep(float("nan")))


@scenario
async def arguments():
    attempt_type("nothing", asyncio.sleep)
    attempt_type("too many", asyncio.sleep, 1, 2, 3)
    attempt_type("unknown", asyncio.sleep, 1, loop=None)


@scenario
def without_a_loop():
    coro = asyncio.sleep(1)
    attempt("send", coro.send, None)
    coro = asyncio.sleep(0, "value")
    attempt("first send", coro.send, None)
    attempt("second send", coro.send, None)
    attempt("third send", coro.send, None)


@scenario
async def awaited_twice():
    coro = asyncio.sleep(0, 1)
    emit(await coro)
    await outcome("again", coro)


@scenario
async def thrown_into():
    coro = asyncio.sleep(0)
    coro.send(None)
    attempt("throw", coro.throw, ValueError("thrown"))
    coro = asyncio.sleep(0)
    attempt("throw before start", coro.throw, ValueError("thrown"))
    coro = asyncio.sleep(3600)
    coro.send(None)
    attempt("close", coro.close)


@scenario
async def interleaving():
    async def worker(name, turns):
        for i in range(turns):
            emit(name, i)
            await asyncio.sleep(0)

    await asyncio.gather(worker("a", 3), worker("b", 2), worker("c", 4))
