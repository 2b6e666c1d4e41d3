"""Asynchronous generators: hooks, finalising, shutdown_asyncgens."""

import asyncio
import gc
import sys

from observe import attempt, emit, new_loop, outcome, scenario, spin


async def counter(label, n=3):
    try:
        for i in range(n):
            yield i
    finally:
        emit(label, "finalised")


@scenario
async def exhausted():
    emit([i async for i in counter("whole")])


@scenario
async def abandoned():
    async for i in counter("abandoned"):
        emit(i)
        break
    gc.collect()
    await spin(3)
    emit("after a few turns")


@scenario
async def await_in_finally():
    async def gen():
        try:
            yield 1
        finally:
            emit("finalising")
            await asyncio.sleep(0)
            emit("finalised")

    async for _ in gen():
        break
    gc.collect()
    await spin(4)


@scenario
async def aclose():
    gen = counter("closed")
    emit(await anext(gen))
    await gen.aclose()
    await outcome("afterwards", anext(gen))


@scenario
def shutdown_asyncgens():
    loop = new_loop()
    held = []

    async def main():
        held.append(counter("held"))
        emit(await anext(held[0]))

    loop.run_until_complete(main())
    emit(loop.run_until_complete(loop.shutdown_asyncgens()))
    held.clear()

    async def late():
        gen = counter("late")
        emit(await anext(gen))
        await gen.aclose()

    loop.run_until_complete(late())
    emit(loop.run_until_complete(loop.shutdown_asyncgens()))
    loop.close()


@scenario
def shutdown_with_a_failing_one():
    loop = new_loop()
    held = []

    async def gen():
        try:
            yield 1
        finally:
            raise ValueError("in finally")

    async def main():
        held.append(gen())
        await anext(held[0])

    loop.set_exception_handler(lambda loop, context: emit(sorted(context), context["exception"]))
    loop.run_until_complete(main())
    emit(loop.run_until_complete(loop.shutdown_asyncgens()))
    loop.close()


@scenario
def hooks_are_restored():
    def firstiter(agen):
        emit("own firstiter")

    def finalizer(agen):
        emit("own finalizer")

    sys.set_asyncgen_hooks(firstiter=firstiter, finalizer=finalizer)

    async def main():
        hooks = sys.get_asyncgen_hooks()
        emit(hooks.firstiter is firstiter, hooks.finalizer is finalizer)

    asyncio.run(main())
    hooks = sys.get_asyncgen_hooks()
    emit(hooks.firstiter is firstiter, hooks.finalizer is finalizer)
    sys.set_asyncgen_hooks(None, None)


@scenario
async def cancelled_inside():
    async def gen():
        try:
            yield 1
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit("cancelled inside the generator")
            raise

    async def consume():
        async for i in gen():
            emit(i)

    task = asyncio.create_task(consume())
    await spin(2)
    task.cancel()
    await outcome("consumer", task)


@scenario
async def generator_ignoring_exit():
    async def gen():
        try:
            yield 1
        finally:
            yield 2

    g = gen()
    await anext(g)
    await outcome("aclose", g.aclose())


@scenario
def attempt_after_close():
    loop = new_loop()
    held = []

    async def main():
        held.append(counter("left behind"))
        await anext(held[0])

    loop.run_until_complete(main())
    loop.close()
    held.clear()
    attempt("collect", lambda: gc.collect() >= 0)
