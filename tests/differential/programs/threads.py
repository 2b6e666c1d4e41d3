"""to_thread, run_in_executor, run_coroutine_threadsafe, wrap_future, ensure_future."""

import asyncio
import concurrent.futures
import threading

from observe import attempt, attempt_type, emit, new_loop, outcome, scenario, spin


@scenario
async def to_thread():
    def work(*args, **kwargs):
        emit(args, kwargs, threading.current_thread() is threading.main_thread())
        return "done"

    emit(await asyncio.to_thread(work, 1, key=2))
    await outcome("failing", asyncio.to_thread(int, "not a number"))
    await outcome("not callable", asyncio.to_thread(5))


@scenario
async def run_in_executor():
    loop = asyncio.get_running_loop()
    fut = loop.run_in_executor(None, lambda: "default")
    emit(asyncio.isfuture(fut), await fut)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        emit(await loop.run_in_executor(pool, pow, 2, 10))
    await outcome("shut down", executor_after_shutdown(pool))


async def executor_after_shutdown(pool):
    await asyncio.get_running_loop().run_in_executor(pool, print)


@scenario
async def wrong_executors():
    loop = asyncio.get_running_loop()
    attempt("number", loop.set_default_executor, 42)
    attempt("text", loop.set_default_executor, "text")
    attempt_type("no function", loop.run_in_executor, None)


@scenario(debug=True)
async def executor_debug_checks():
    loop = asyncio.get_running_loop()

    async def coroutine():
        pass

    attempt("coroutine function", loop.run_in_executor, None, coroutine)
    attempt("number", loop.run_in_executor, None, 5)


@scenario
async def custom_default_executor():
    class Pool(concurrent.futures.ThreadPoolExecutor):
        def submit(self, function, *args):
            emit("submit", len(args))
            return super().submit(function, *args)

    loop = asyncio.get_running_loop()
    loop.set_default_executor(Pool(1))
    emit(await loop.run_in_executor(None, int, "7"), await asyncio.to_thread(int, "8"))


@scenario
def shutdown_default_executor():
    loop = new_loop()
    emit(loop.run_until_complete(loop.run_in_executor(None, int, "1")))
    emit(loop.run_until_complete(loop.shutdown_default_executor()))
    attempt("afterwards", loop.run_in_executor, None, int)
    emit(loop.run_until_complete(loop.shutdown_default_executor()))
    loop.close()


@scenario
async def cancelled_executor_future():
    started, go = threading.Event(), threading.Event()

    def work():
        started.set()
        go.wait(10)
        return "finished all the same"

    fut = asyncio.get_running_loop().run_in_executor(None, work)
    started.wait(10)
    emit(fut.cancel("not wanted"))
    await outcome("future", fut)
    go.set()


@scenario
def run_coroutine_threadsafe():
    loop = new_loop()

    async def work(x):
        await asyncio.sleep(0)
        if x is None:
            raise ValueError("inside")
        return x, asyncio.get_running_loop() is loop

    def other():
        fut = asyncio.run_coroutine_threadsafe(work(1), loop)
        emit(type(fut), fut.result(10))
        fut = asyncio.run_coroutine_threadsafe(work(None), loop)
        attempt("exception", fut.result, 10)
        attempt("number", asyncio.run_coroutine_threadsafe, 5, loop)
        attempt("function", asyncio.run_coroutine_threadsafe, work, loop)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.close()


@scenario
def cancelling_across_threads():
    loop = new_loop()
    cancelled = threading.Event()
    started = threading.Event()

    async def work():
        started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def other():
        fut = asyncio.run_coroutine_threadsafe(work(), loop)
        started.wait(10)
        emit(fut.cancel(), cancelled.wait(10))
        attempt("result", fut.result, 10)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.close()


@scenario
def cancelled_on_the_loop_side():
    loop = new_loop()

    async def work():
        asyncio.current_task().cancel("itself")
        await asyncio.sleep(0)

    def other():
        fut = asyncio.run_coroutine_threadsafe(work(), loop)
        attempt("result", fut.result, 10)
        emit(fut.cancelled())
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.close()


@scenario
async def wrap_future():
    pool_future = concurrent.futures.Future()
    fut = asyncio.wrap_future(pool_future)
    emit(asyncio.isfuture(fut), asyncio.wrap_future(fut) is fut)
    pool_future.set_result("wrapped")
    emit(await fut)
    failed = concurrent.futures.Future()
    failed.set_exception(KeyError("wrapped"))
    await outcome("failed", asyncio.wrap_future(failed))
    pending = concurrent.futures.Future()
    fut = asyncio.wrap_future(pending)
    fut.cancel()
    await spin(2)
    emit(pending.cancelled())
    pending = concurrent.futures.Future()
    fut = asyncio.wrap_future(pending)
    pending.cancel()
    pending.set_running_or_notify_cancel()
    await spin(3)
    await outcome("cancelled from the other side", fut)


@scenario
async def wrap_future_maps_exceptions():
    for error in (
        concurrent.futures.CancelledError("c"),
        concurrent.futures.TimeoutError("t"),
        concurrent.futures.InvalidStateError("i"),
    ):
        source = concurrent.futures.Future()
        source.set_exception(error)
        await outcome(type(error).__name__, asyncio.wrap_future(source))


@scenario
async def wrap_future_misuse():
    attempt("number", asyncio.wrap_future, 5)


@scenario
async def ensure_future():
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaitable"

    coro_task = asyncio.ensure_future(asyncio.sleep(0, "coroutine"))
    emit(type(coro_task), asyncio.ensure_future(coro_task) is coro_task, await coro_task)
    fut = asyncio.get_running_loop().create_future()
    emit(asyncio.ensure_future(fut) is fut)
    fut.cancel()
    task = asyncio.ensure_future(Awaitable())
    emit(type(task), await task)
    for value in (None, 5, "text", Awaitable):
        attempt("ensure_future", asyncio.ensure_future, value)


@scenario
def ensure_future_and_loops():
    coro = asyncio.sleep(0)
    attempt("no loop", asyncio.ensure_future, coro)
    coro.close()
    loop, other = new_loop(), new_loop()
    task = asyncio.ensure_future(asyncio.sleep(0, 1), loop=loop)
    emit(loop.run_until_complete(task))
    fut = loop.create_future()
    attempt("other loop", lambda: asyncio.ensure_future(fut, loop=other))
    emit(asyncio.ensure_future(fut, loop=loop) is fut)
    loop.close()
    other.close()
