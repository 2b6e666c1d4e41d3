"""call_soon and call_soon_threadsafe: order, arguments, handles, callbacks that fail."""

import asyncio
import threading

from observe import attempt, attempt_type, emit, new_loop, scenario, spin, watch_exceptions


@scenario
async def order():
    loop = asyncio.get_running_loop()
    for i in range(5):
        loop.call_soon(emit, "first", i)
    loop.call_soon_threadsafe(emit, "threadsafe")
    loop.call_soon(emit, "after threadsafe")
    emit("scheduled")
    await spin(2)


@scenario
async def scheduled_while_running_runs_next_turn():
    loop = asyncio.get_running_loop()

    def again(n):
        emit("turn", n)
        if n < 3:
            loop.call_soon(again, n + 1)

    loop.call_soon(again, 0)
    loop.call_soon(emit, "between")
    await spin(6)


@scenario
async def cancel():
    loop = asyncio.get_running_loop()
    first = loop.call_soon(emit, "first")
    second = loop.call_soon(lambda: third.cancel())
    third = loop.call_soon(emit, "third")
    first.cancel()
    emit(first.cancelled(), second.cancelled())
    attempt("cancel twice", first.cancel)
    await spin(2)
    emit(second.cancelled(), third.cancelled())
    attempt("cancel after it ran", second.cancel)
    emit(second.cancelled())


@scenario
async def handle_cancels_itself():
    loop = asyncio.get_running_loop()

    def callback():
        handle.cancel()
        emit("ran", handle.cancelled())

    handle = loop.call_soon(callback)
    await spin(2)


@scenario
async def failing_callback():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)

    def fails(text):
        raise ValueError(text)

    loop.call_soon(fails, "one")
    loop.call_soon(emit, "still runs")
    loop.call_soon(lambda: 1 / 0)
    await spin(2)


@scenario
async def failing_callback_default_handler():
    def fails():
        raise KeyError("lost")

    asyncio.get_running_loop().call_soon(fails)
    await spin(2)


@scenario
async def cancelled_error_from_callback():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)

    def fails():
        raise asyncio.CancelledError("from a callback")

    loop.call_soon(fails)
    await spin(2)


@scenario
async def wrong_arguments():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    attempt_type("no callback", loop.call_soon)
    loop.call_soon(None)
    loop.call_soon(emit, "fine")
    loop.call_soon(lambda: None, "too many")
    await spin(2)


@scenario(debug=True)
async def wrong_arguments_in_debug_mode():
    loop = asyncio.get_running_loop()

    async def coroutine():
        emit("never")

    coro = coroutine()
    attempt("coroutine object", loop.call_soon, coro)
    coro.close()
    attempt("coroutine function", loop.call_soon, coroutine)
    attempt("not callable", loop.call_soon, 42)
    attempt("later: not callable", loop.call_later, 1, "text")
    attempt("at: coroutine function", loop.call_at, 1, coroutine)
    attempt("threadsafe: coroutine function", loop.call_soon_threadsafe, coroutine)


@scenario
def threadsafe_from_another_thread():
    loop = new_loop()

    def other():
        for i in range(3):
            loop.call_soon_threadsafe(emit, "from thread", i)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    loop.close()
    attempt("closed", loop.call_soon_threadsafe, emit)


@scenario
def before_run():
    loop = new_loop()
    loop.call_soon(emit, "queued before the loop ran")
    loop.call_soon(loop.stop)
    loop.call_soon(emit, "queued after stop")
    loop.run_forever()
    loop.call_soon(emit, "never")
    loop.close()


@scenario
async def handle_methods():
    loop = asyncio.get_running_loop()
    handle = loop.call_soon(emit, "x")
    emit(type(handle), isinstance(handle, asyncio.Handle), handle.cancelled())
    emit(handle.get_context() is not None if hasattr(handle, "get_context") else True)
    handle.cancel()
    emit(handle.cancelled(), handle)
