"""Awaitables of other makes: old generators, concurrent futures, custom awaitables, async iterators."""

import asyncio
import types

from observe import attempt, emit, outcome, scenario, spin


@types.coroutine
def legacy(n):
    for _ in range(n):
        yield
    return "legacy"


@scenario
async def generator_coroutines():
    emit(await legacy(3))
    emit(await asyncio.create_task(legacy(2)))
    emit(await asyncio.gather(legacy(1), legacy(0)))
    emit(await asyncio.wait_for(legacy(1), 60))


@scenario
async def yield_from_a_future():
    fut = asyncio.get_running_loop().create_future()

    @types.coroutine
    def waits():
        return (yield from fut)

    asyncio.get_running_loop().call_soon(fut.set_result, "value")
    emit(await waits())


@scenario
async def awaitable_that_delegates():
    class Awaitable:
        def __init__(self, inner):
            self.inner = inner

        def __await__(self):
            emit("before")
            result = yield from self.inner.__await__()
            emit("after")
            return result

    emit(await Awaitable(asyncio.sleep(0, "slept")))
    emit(await Awaitable(asyncio.create_task(asyncio.sleep(0, "task"))))
    emit(await asyncio.gather(Awaitable(asyncio.sleep(0, 1)), Awaitable(asyncio.sleep(0, 2))))


@scenario
async def awaitable_that_is_thrown_into():
    class Awaitable:
        def __await__(self):
            try:
                yield from asyncio.sleep(3600).__await__()
            except asyncio.CancelledError as exc:
                emit("thrown in", list(exc.args))
                return "recovered"

    async def work():
        return await Awaitable()

    task = asyncio.create_task(work())
    await spin()
    task.cancel("message")
    emit(await task)


@scenario
async def iterators_and_managers():
    class Counter:
        def __init__(self, n):
            self.n = n

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.n:
                raise StopAsyncIteration
            self.n -= 1
            await asyncio.sleep(0)
            return self.n

    class Manager:
        async def __aenter__(self):
            await asyncio.sleep(0)
            return "entered"

        async def __aexit__(self, *exc):
            await asyncio.sleep(0)
            emit("exit", exc[0])
            return True

    emit([i async for i in Counter(3)])
    async with Manager() as value:
        emit(value)
        raise ValueError("suppressed")


@scenario
async def sending_by_hand():
    async def work():
        first = await legacy(1)
        second = await asyncio.sleep(0, "second")
        return first, second

    coro = work()
    attempt("one", coro.send, None)
    attempt("two", coro.send, None)
    attempt("three", coro.send, None)


@scenario
async def exceptions_through_layers():
    async def bottom():
        await asyncio.sleep(0)
        raise LookupError("bottom")

    async def layer(n):
        try:
            await (layer(n - 1) if n else bottom())
        except LookupError as exc:
            exc.add_note(f"layer {n}")
            raise

    try:
        await asyncio.create_task(layer(3))
    except LookupError as exc:
        emit(exc, exc.__notes__)


@scenario
async def stop_iteration_values():
    class Awaitable:
        def __await__(self):
            yield
            return StopIteration("a value")

    async def work():
        return await Awaitable()

    emit(await work(), await asyncio.create_task(work()))

    async def raises():
        raise StopIteration("raised")

    await outcome("raises", asyncio.create_task(raises()))
