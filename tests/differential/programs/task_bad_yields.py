"""What a task does with things it cannot wait for."""

import asyncio

from observe import attempt, emit, new_loop, outcome, scenario, spin


class Yields:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        return (yield self.value)


@scenario
async def non_futures():
    async def child(value):
        await outcome(f"{type(value).__name__}", Yields(value))

    for value in (1, "text", object, [], 1.5, print):
        await asyncio.create_task(child(value))


@scenario
async def none_is_a_bare_yield():
    async def child():
        emit(await Yields(None))
        return "done"

    emit(await asyncio.create_task(child()))


@scenario
async def generator():
    async def child():
        await outcome("generator", Yields(x for x in ()))

    await asyncio.create_task(child())


@scenario
async def a_task_awaiting_itself():
    async def child():
        await outcome("itself", asyncio.current_task())
        return "still here"

    emit(await asyncio.create_task(child(), name="narcissus"))


@scenario
async def wrong_loop():
    loop = new_loop()
    fut = loop.create_future()

    async def child():
        await outcome("other loop's", fut)

    await asyncio.create_task(child(), name="here")
    task = loop.create_task(asyncio.sleep(0), name="there")

    async def child2():
        await outcome("other loop's task", task)

    await asyncio.create_task(child2(), name="here")
    task.cancel()
    loop.call_soon(loop.stop)
    await asyncio.to_thread(loop.run_forever)
    loop.close()


@scenario
async def not_awaitable():
    async def child(value):
        await value

    for value in (None, 1, "text", child):
        await outcome("await", asyncio.create_task(child(value)))


@scenario
async def awaits_that_misbehave():
    class NotIterator:
        def __await__(self):
            return 5

    class Raises:
        def __await__(self):
            raise KeyError("in __await__")

    async def child(value):
        await value

    for value in (NotIterator(), Raises()):
        await outcome(type(value).__name__, asyncio.create_task(child(value)))


@scenario
async def duck_typed_future():
    loop = asyncio.get_running_loop()

    class Duck:
        _asyncio_future_blocking = None

        def __init__(self):
            self.callbacks = []

        def get_loop(self):
            return loop

        def add_done_callback(self, callback, *, context=None):
            emit("add_done_callback", context is not None)
            self.callbacks.append((callback, context))

        def remove_done_callback(self, callback):
            emit("remove_done_callback")

        def cancel(self, *args, **kwargs):
            emit("cancel", list(args), kwargs)
            return False

        def result(self):
            emit("result")
            return "quack"

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self
            return self.result()

    duck = Duck()
    emit(asyncio.isfuture(duck))
    task = asyncio.create_task(outcome("duck", duck))
    await spin()
    callback, context = duck.callbacks[0]
    loop.call_soon(callback, duck, context=context)
    await task

    duck = Duck()
    task = asyncio.create_task(outcome("duck", duck))
    await spin()
    task.cancel("no duck")
    callback, context = duck.callbacks[0]
    loop.call_soon(callback, duck, context=context)
    await task


@scenario
async def exceptions_out_of_a_coroutine():
    for error in (ValueError("v"), StopAsyncIteration("s"), GeneratorExit("g"), StopIteration("i")):

        async def child(error=error):
            raise error

        await outcome(type(error).__name__, asyncio.create_task(child()))


@scenario
def base_exceptions_out_of_a_task():
    for error in (SystemExit(3), KeyboardInterrupt("k")):
        loop = new_loop()

        async def child(error=error):
            raise error

        task = loop.create_task(child())
        attempt("run_forever", loop.run_forever)
        emit(task.done(), task)
        attempt("exception", task.exception)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@scenario
async def finished_coroutine():
    async def child():
        return 1

    coro = child()
    await coro
    await outcome("again", asyncio.create_task(coro))
