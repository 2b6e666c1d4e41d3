"""Futures from the outside: construction, protocol, reprs, subclasses, never-retrieved exceptions."""

import asyncio
import concurrent.futures
import inspect

from observe import attempt, attempt_type, emit, new_loop, outcome, scenario, spin, watch_exceptions


@scenario
async def never_retrieved():
    fut = asyncio.get_running_loop().create_future()
    fut.set_exception(ValueError("nobody looked"))
    del fut


@scenario
async def never_retrieved_context():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    fut = loop.create_future()
    fut.set_exception(ValueError("nobody looked"))
    del fut
    await spin()


@scenario
async def retrieved_is_silent():
    for look in ("result", "exception"):
        fut = asyncio.get_running_loop().create_future()
        fut.set_exception(ValueError("looked at"))
        attempt(look, getattr(fut, look))
    fut = asyncio.get_running_loop().create_future()
    fut.set_exception(ValueError("awaited"))
    await outcome("await", fut)
    fut = asyncio.get_running_loop().create_future()
    fut.cancel()


@scenario
async def log_traceback_attribute():
    fut = asyncio.get_running_loop().create_future()
    emit(fut._log_traceback)
    fut.set_exception(ValueError("x"))
    emit(fut._log_traceback)
    attempt("set True", setattr, fut, "_log_traceback", True)
    fut._log_traceback = False
    emit(fut._log_traceback)


@scenario
def without_a_loop():
    attempt("Future()", asyncio.Future)
    loop = new_loop()
    fut = asyncio.Future(loop=loop)
    emit(fut, fut.get_loop() is loop)
    loop.close()


@scenario
def duck_typed_loop():
    class Loop:
        def __init__(self):
            self.calls = []

        def get_debug(self):
            return False

        def call_soon(self, callback, *args, context=None):
            self.calls.append((callback, args, context is not None))

    loop = Loop()
    fut = asyncio.Future(loop=loop)
    fut.add_done_callback(emit)
    fut.set_result("x")
    emit(len(loop.calls), loop.calls[0][0] is emit, loop.calls[0][1] == (fut,), loop.calls[0][2])


@scenario
async def reprs():
    loop = asyncio.get_running_loop()

    def callback(fut):
        pass

    fut = loop.create_future()
    emit(fut)
    for _ in range(4):
        fut.add_done_callback(callback)
        emit(fut)
    fut.set_result("a result")
    emit(fut)
    fut = loop.create_future()
    fut.set_result("long " * 40)
    emit(fut)
    fut = loop.create_future()
    fut.set_exception(ValueError("an error"))
    emit(fut, fut.exception())
    fut = loop.create_future()
    fut.cancel("message")
    emit(fut)


@scenario
async def recursive_repr():
    fut = asyncio.get_running_loop().create_future()
    fut.set_result([fut])
    emit(fut)


@scenario(debug=True)
async def repr_in_debug_mode():
    for fut in (asyncio.get_running_loop().create_future(), asyncio.Future()):
        emit(fut, len(fut._source_traceback) > 0)


@scenario
async def subclass():
    class Mine(asyncio.Future):
        def __init__(self, label, **kwargs):
            super().__init__(**kwargs)
            self.label = label

        def set_result(self, result):
            emit("set_result", self.label)
            super().set_result(result * 2)

    fut = Mine("label")
    emit(isinstance(fut, asyncio.Future), asyncio.isfuture(fut), fut.label, fut)
    asyncio.get_running_loop().call_soon(fut.set_result, 21)
    emit(await fut)


@scenario
async def not_initialised():
    fut = asyncio.Future.__new__(asyncio.Future)
    for name in ("result", "exception", "cancel", "get_loop"):
        attempt_type(name, getattr(fut, name))
    attempt_type("set_result", fut.set_result, 1)
    attempt_type("add_done_callback", fut.add_done_callback, print)


@scenario
async def initialised_twice():
    fut = asyncio.get_running_loop().create_future()
    fut.set_result(1)
    attempt("init", fut.__init__)
    emit(fut.done(), fut)


@scenario
async def iteration_protocol():
    fut = asyncio.get_running_loop().create_future()
    it = fut.__await__()
    emit(it.send(None) is fut, fut._asyncio_future_blocking)
    attempt("resumed too early", it.send, None)
    fut._asyncio_future_blocking = False
    it = iter(fut)
    emit(next(it) is fut)
    fut._asyncio_future_blocking = False
    fut.set_result("value")
    attempt("resumed", it.send, None)
    it = fut.__await__()
    attempt("done already", next, it)


@scenario(
    differs="stock crashes in next() of an iterator that was thrown into, since 3.14",
    differs_in=[(3, 14), (3, 15)],
    expected=[
        ["event", "throw", "raised", {"exception": "ValueError", "message": "thrown"}],
        ["event", "afterwards", "raised", {"exception": "StopIteration", "message": ""}],
        ["event", "throw before start", "raised", {"exception": "KeyError", "message": "'thrown'"}],
        ["event", "close", "returned", None],
        ["event", "after close", "raised", {"exception": "StopIteration", "message": ""}],
        ["event", "throw text", "raised", "TypeError"],
    ],
)
async def iterator_throw_and_close():
    loop = asyncio.get_running_loop()
    fut = loop.create_future()
    it = fut.__await__()
    next(it)
    attempt("throw", it.throw, ValueError("thrown"))
    attempt("afterwards", next, it)
    it = fut.__await__()
    attempt("throw before start", it.throw, KeyError("thrown"))
    it = fut.__await__()
    attempt("close", it.close)
    attempt("after close", next, it)
    it = fut.__await__()
    attempt_type("throw text", it.throw, "text")
    fut.cancel()


@scenario
async def what_it_is():
    fut = asyncio.get_running_loop().create_future()
    emit(asyncio.isfuture(fut), inspect.isawaitable(fut), asyncio.iscoroutine(fut))
    emit(asyncio.isfuture(asyncio.Future), asyncio.isfuture(1), asyncio.isfuture(concurrent.futures.Future()))
    emit(isinstance(fut, concurrent.futures.Future), bool(fut), fut == fut, hash(fut) == hash(fut))


@scenario
async def plain_yield_of_a_future():
    fut = asyncio.get_running_loop().create_future()

    class Awaitable:
        def __await__(self):
            yield fut

    await outcome("bare yield", asyncio.create_task(outcome_of(Awaitable())))
    fut.cancel()


async def outcome_of(awaitable):
    await outcome("inner", awaitable)


@scenario
async def attributes():
    fut = asyncio.get_running_loop().create_future()
    emit(fut._state, fut._loop is asyncio.get_running_loop(), fut._asyncio_future_blocking)
    fut.set_result(3)
    emit(fut._state, fut._result, fut._exception)
    attempt_type("setting _state", setattr, fut, "_state", "PENDING")
    attempt_type("unknown attribute", setattr, fut, "other", 1)
    attempt("blocking", setattr, fut, "_asyncio_future_blocking", True)
    emit(fut._asyncio_future_blocking)
