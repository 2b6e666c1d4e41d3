"""asyncio.wait: the three modes, timeouts, bad arguments, cancellation."""

import asyncio

from observe import attempt, emit, outcome, scenario, spin


async def value(x, turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    return x


async def fails(turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    raise ValueError("failed")


def tasks(*coros):
    return [asyncio.create_task(coro, name=f"t{i}") for i, coro in enumerate(coros)]


def show(result):
    done, pending = result
    emit(sorted(t.get_name() for t in done), sorted(t.get_name() for t in pending), type(done), type(pending))
    for task in done:
        task.exception()


async def drop(ts):
    for task in ts:
        task.cancel()
    await asyncio.gather(*ts, return_exceptions=True)


@scenario
async def all_completed():
    ts = tasks(value(1, 3), fails(1), value(2))
    show(await asyncio.wait(ts))


@scenario
async def first_completed():
    ts = tasks(value(1, 5), value(2, 1), asyncio.sleep(3600))
    show(await asyncio.wait(ts, return_when=asyncio.FIRST_COMPLETED))
    await drop(ts)


@scenario
async def first_exception():
    ts = tasks(value(1, 1), fails(2), asyncio.sleep(3600))
    show(await asyncio.wait(ts, return_when=asyncio.FIRST_EXCEPTION))
    await drop(ts)


@scenario
async def first_exception_without_any():
    ts = tasks(value(1, 1), value(2, 3))
    show(await asyncio.wait(ts, return_when=asyncio.FIRST_EXCEPTION))


@scenario
async def first_exception_and_cancelled():
    ts = tasks(asyncio.sleep(3600), value(1, 2))
    await spin()
    ts[0].cancel()
    done, pending = await asyncio.wait(ts, return_when=asyncio.FIRST_EXCEPTION)
    emit(sorted(t.get_name() for t in done), [t.cancelled() for t in ts])


@scenario
async def timeouts():
    ts = tasks(asyncio.sleep(3600), value(1))
    show(await asyncio.wait(ts, timeout=0.01))
    show(await asyncio.wait(ts, timeout=0))
    show(await asyncio.wait(ts, timeout=-1))
    emit(ts[0].cancelled())
    await drop(ts)


@scenario
async def all_done_already():
    ts = tasks(value(1), value(2))
    await asyncio.gather(*ts)
    show(await asyncio.wait(ts))
    show(await asyncio.wait(ts, timeout=0, return_when=asyncio.FIRST_COMPLETED))


@scenario
async def bad_arguments():
    task = asyncio.create_task(asyncio.sleep(3600))
    await outcome("empty", asyncio.wait([]))
    await outcome("empty generator", asyncio.wait(t for t in ()))
    await outcome("task", asyncio.wait(task))
    coro = value(1)
    await outcome("coroutine", asyncio.wait(coro))
    await outcome("coroutines", asyncio.wait([coro]))
    coro.close()
    await outcome("return_when", asyncio.wait([task], return_when="SOMETIME"))
    await outcome("numbers", asyncio.wait([1, 2]))
    await outcome("not iterable", asyncio.wait(5))
    await drop([task])


@scenario
async def duplicates_and_iterables():
    task = asyncio.create_task(value(1), name="t0")
    show(await asyncio.wait([task, task]))
    show(await asyncio.wait({task}))
    show(await asyncio.wait(iter([task])))
    show(await asyncio.wait(t for t in (task,)))


@scenario
async def cancelled():
    ts = tasks(asyncio.sleep(3600), asyncio.sleep(3600))
    waiter = asyncio.create_task(asyncio.wait(ts))
    await spin(2)
    waiter.cancel("the waiter")
    await outcome("wait", waiter)
    emit([t.cancelled() for t in ts], [t.done() for t in ts])
    await drop(ts)


@scenario
async def callbacks_are_removed():
    ts = tasks(asyncio.sleep(3600))
    await asyncio.wait(ts, timeout=0.001)
    await spin(2)
    emit(ts[0])
    await drop(ts)


@scenario
async def futures():
    loop = asyncio.get_running_loop()
    a, b = loop.create_future(), loop.create_future()
    loop.call_soon(a.set_result, 1)
    done, pending = await asyncio.wait([a, b], return_when="FIRST_COMPLETED")
    emit(done == {a}, pending == {b})
    b.cancel()
    attempt("constants", lambda: [asyncio.ALL_COMPLETED, asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION])
