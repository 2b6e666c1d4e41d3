"""Futures: states, results, exceptions, and the errors of the wrong state."""

import asyncio

from observe import attempt, emit, outcome, scenario, spin


def states(fut):
    emit(fut.done(), fut.cancelled(), fut)


@scenario
async def result():
    fut = asyncio.get_running_loop().create_future()
    states(fut)
    attempt("result too early", fut.result)
    attempt("exception too early", fut.exception)
    attempt("set", fut.set_result, 42)
    states(fut)
    attempt("result", fut.result)
    attempt("exception", fut.exception)
    emit(await fut, await fut)


@scenario
async def set_twice():
    fut = asyncio.get_running_loop().create_future()
    fut.set_result("first")
    attempt("result", fut.set_result, "second")
    attempt("exception", fut.set_exception, ValueError("second"))
    attempt("cancel", fut.cancel)
    emit(fut.result())


@scenario
async def exception():
    fut = asyncio.get_running_loop().create_future()
    error = ValueError("stored")
    fut.set_exception(error)
    states(fut)
    attempt("result", fut.result)
    emit(fut.exception() is error)
    await outcome("await", fut)
    attempt("set_result", fut.set_result, 1)
    attempt("set_exception", fut.set_exception, KeyError("x"))
    attempt("cancel", fut.cancel)


@scenario
async def exception_class():
    fut = asyncio.get_running_loop().create_future()
    fut.set_exception(ValueError)
    emit(fut.exception(), fut)


@scenario
async def exception_of_the_wrong_kind():
    fut = asyncio.get_running_loop().create_future()
    attempt("StopIteration class", fut.set_exception, StopIteration)
    attempt("StopIteration object", fut.set_exception, StopIteration(3))
    attempt("text", fut.set_exception, "text")
    attempt("None", fut.set_exception, None)
    attempt("class that needs arguments", fut.set_exception, UnicodeDecodeError)
    emit(fut.done())
    fut.cancel()


@scenario
async def base_exceptions():
    for error in (KeyboardInterrupt("k"), SystemExit(3), GeneratorExit("g"), asyncio.CancelledError("c")):
        fut = asyncio.get_running_loop().create_future()
        attempt("set", fut.set_exception, error)
        if fut.done():
            await outcome(type(error).__name__, fut)


@scenario
async def cancelled():
    fut = asyncio.get_running_loop().create_future()
    emit(fut.cancel(), fut.cancel())
    states(fut)
    attempt("result", fut.result)
    attempt("exception", fut.exception)
    await outcome("await", fut)
    attempt("set_result", fut.set_result, 1)
    attempt("set_exception", fut.set_exception, ValueError())


@scenario
async def cancel_messages():
    for args in ((), ("why",), (None,), (["a list"],), (42,)):
        fut = asyncio.get_running_loop().create_future()
        fut.cancel(*args)
        try:
            await fut
        except asyncio.CancelledError as exc:
            emit(list(exc.args))
        try:
            fut.result()
        except asyncio.CancelledError as exc:
            emit(list(exc.args))


@scenario
async def cancel_message_keyword():
    fut = asyncio.get_running_loop().create_future()
    attempt("keyword", lambda: fut.cancel(msg="by keyword"))
    await outcome("await", fut)


@scenario
async def awaiting_and_resolving():
    loop = asyncio.get_running_loop()
    fut = loop.create_future()
    loop.call_soon(fut.set_result, "later")
    emit(await fut)
    fut = loop.create_future()
    loop.call_soon(fut.set_exception, KeyError("later"))
    await outcome("exception", fut)
    fut = loop.create_future()
    loop.call_soon(fut.cancel, "later")
    await outcome("cancel", fut)


@scenario
async def several_waiters():
    fut = asyncio.get_running_loop().create_future()

    async def wait(name):
        emit(name, await fut)

    tasks = [asyncio.create_task(wait(name)) for name in "abc"]
    await spin(2)
    fut.set_result("all")
    await asyncio.gather(*tasks)


@scenario
async def same_exception_object_each_time():
    fut = asyncio.get_running_loop().create_future()
    error = RuntimeError("one object")
    fut.set_exception(error)
    seen = []
    for _ in range(3):
        try:
            await fut
        except RuntimeError as exc:
            seen.append(exc is error)
    emit(seen)


@scenario
async def results_of_any_kind():
    loop = asyncio.get_running_loop()
    for value in (None, (), (1, 2), [], ValueError("as a result"), StopIteration("as a result"), fut_like()):
        fut = loop.create_future()
        fut.set_result(value)
        emit(await fut is value, fut.result() is value)


def fut_like():
    class Tuple(tuple):
        pass

    return Tuple((1, 2))


@scenario
async def get_loop():
    loop = asyncio.get_running_loop()
    fut = loop.create_future()
    emit(
        fut.get_loop() is loop,
        asyncio.Future().get_loop() is loop,
        asyncio.Future(loop=loop).get_loop() is loop,
    )
