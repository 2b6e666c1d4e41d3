"""run_forever, run_until_complete, stop and close: their order and their misuse."""

import asyncio
import sys

from observe import attempt, attempt_type, emit, new_loop, scenario, watch_exceptions


async def value(x):
    await asyncio.sleep(0)
    return x


@scenario
def states():
    loop = new_loop()
    emit(loop, loop.is_running(), loop.is_closed())
    loop.call_soon(lambda: emit(loop, loop.is_running()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    emit(loop.is_running())
    loop.close()
    emit(loop, loop.is_closed())
    attempt("close again", loop.close)


@scenario
def run_until_complete():
    loop = new_loop()
    emit(loop.run_until_complete(value(1)))
    emit(loop.run_until_complete(loop.create_task(value(2))))
    fut = loop.create_future()
    loop.call_soon(fut.set_result, 3)
    emit(loop.run_until_complete(fut), loop.run_until_complete(fut))

    async def fails():
        raise ValueError("inside")

    attempt("exception", loop.run_until_complete, fails())
    cancelled = loop.create_future()
    cancelled.cancel("message")
    attempt("cancelled", loop.run_until_complete, cancelled)
    loop.close()


@scenario
def how_the_task_that_runs_the_loop_is_known():
    # By the callback that ends the loop with it: anyio takes this task for the root of all others.
    from asyncio.base_events import _run_until_complete_cb

    async def inside():
        emit([callback is _run_until_complete_cb for callback, _ in asyncio.current_task()._callbacks])

    loop = new_loop()
    loop.run_until_complete(inside())
    fut = loop.create_future()
    loop.call_soon(lambda: emit([callback is _run_until_complete_cb for callback, _ in fut._callbacks]))
    loop.call_soon(loop.stop)
    attempt("stopped", loop.run_until_complete, fut)
    emit(fut._callbacks)


@scenario
def run_until_complete_misuse():
    loop, other = new_loop(), new_loop()
    attempt("number", loop.run_until_complete, 5)
    attempt("None", loop.run_until_complete, None)
    attempt("function", loop.run_until_complete, value)
    attempt("other loop's", loop.run_until_complete, other.create_future())
    fut = loop.create_future()
    loop.call_soon(loop.stop)
    attempt("stopped before it is done", loop.run_until_complete, fut)

    loop.close()
    other.close()


@scenario
def nested_runs():
    if sys.version_info[:2] == (
        3,
        13,
    ):  # 3.13.0 forgets that the outer loop runs once the inner run is refused
        emit("not on 3.13")
        return
    loop, other = new_loop(), new_loop()

    async def inside():
        coro = value(1)
        attempt("nested, same loop", loop.run_until_complete, coro)
        attempt("nested, other loop", other.run_until_complete, coro)
        attempt("run_forever, same", loop.run_forever)
        attempt("run_forever, other", other.run_forever)
        attempt("close", loop.close)
        coro.close()

    loop.run_until_complete(inside())
    loop.close()
    other.close()


@scenario
def stop_lets_the_turn_finish():
    loop = new_loop()
    loop.call_soon(emit, "one")
    loop.call_soon(loop.stop)
    loop.call_soon(lambda: (emit("two"), loop.call_soon(emit, "next run")))
    loop.run_forever()
    emit("stopped")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()


@scenario
def stop_before_run():
    loop = new_loop()
    loop.call_soon(emit, "runs once")
    loop.stop()
    loop.run_forever()
    emit("returned")
    loop.call_soon(lambda: (emit("not stopped any more"), loop.stop()))
    loop.run_forever()
    loop.close()


@scenario
def stop_twice():
    loop = new_loop()
    loop.call_soon(loop.stop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(emit, "second run")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()


@scenario
def keyboard_interrupt_in_a_callback():
    loop = new_loop()
    watch_exceptions(loop)

    def interrupt():
        raise KeyboardInterrupt("callback")

    loop.call_soon(emit, "before")
    loop.call_soon(interrupt)
    loop.call_soon(emit, "after")
    attempt("first run", loop.run_forever)
    emit(loop.is_running(), loop.is_closed())
    loop.call_soon(loop.stop)
    attempt("second run", loop.run_forever)
    loop.close()


@scenario
def system_exit_in_a_callback():
    loop = new_loop()

    def leave():
        raise SystemExit(5)

    loop.call_soon(leave)
    attempt("run", loop.run_forever)
    loop.call_later(0, leave)
    attempt("timer", loop.run_until_complete, asyncio.sleep(3600))
    for task in asyncio.all_tasks(loop):
        task.cancel()
        attempt("drain", loop.run_until_complete, task)
    loop.close()


@scenario
def base_exception_in_a_callback():
    loop = new_loop()
    watch_exceptions(loop)

    class Odd(BaseException):
        pass

    def odd():
        raise Odd("odd")

    loop.call_soon(odd)
    loop.call_soon(loop.stop)
    attempt("run", loop.run_forever)
    loop.close()


@scenario
def interrupted_task_of_run_until_complete():
    loop = new_loop()

    async def main():
        raise KeyboardInterrupt("main")

    attempt("run", loop.run_until_complete, main())
    loop.close()


@scenario
def closed_loop():
    loop = new_loop()
    loop.close()
    fut_coro = value(1)
    for name, args in [
        ("call_soon", (emit,)),
        ("call_soon_threadsafe", (emit,)),
        ("call_later", (1, emit)),
        ("call_at", (1, emit)),
        ("run_forever", ()),
        ("run_until_complete", (fut_coro,)),
        ("create_task", (fut_coro,)),
        ("run_in_executor", (None, print)),
        ("stop", ()),
        ("close", ()),
        ("is_running", ()),
        ("is_closed", ()),
        ("get_debug", ()),
        ("set_debug", (True,)),
        ("get_exception_handler", ()),
        ("get_task_factory", ()),
    ]:
        attempt(name, getattr(loop, name), *args)
    fut_coro.close()
    attempt_type("time", lambda: loop.time() > 0)
    fut = attempt("create_future", loop.create_future)
    fut.add_done_callback(print)
    attempt("future of a closed loop", fut.set_result, 1)


@scenario(
    differs="A task that is destroyed while it waits is reported with the place where it waited. "
    "Since 3.14 asyncio reports it when its coroutine is closed already.",
    differs_in=[(3, 14), (3, 15)],
    expected=[
        ["event", "cancel", "raised", {"exception": "RuntimeError", "message": "Event loop is closed"}],
        [
            "event",
            "<Task cancelling name='left' coro=<closed_while_tasks_wait.<locals>.child() "
            "running at loop_lifecycle.py:258> wait_for=<Future cancelled>>",
        ],
        [
            "log",
            "ERROR",
            "Task was destroyed but it is pending!\ntask: <Task cancelling name='left' "
            "coro=<closed_while_tasks_wait.<locals>.child() running at loop_lifecycle.py:258> "
            "wait_for=<Future cancelled>>",
            None,
        ],
    ],
)
def closed_while_tasks_wait():
    loop = new_loop()

    async def child():
        await loop.create_future()

    task = loop.create_task(child(), name="left")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    attempt("cancel", task.cancel)
    emit(task)
    del task


@scenario
def unclosed_loop():
    loop = new_loop()
    loop.call_soon(print)
    del loop
    import gc

    gc.collect()


@scenario
async def time():
    loop = asyncio.get_running_loop()
    first, second = loop.time(), loop.time()
    emit(type(first), first <= second)


@scenario
def run_forever_returns_none_and_can_repeat():
    loop = new_loop()
    for _ in range(3):
        loop.call_soon(loop.stop)
        emit(loop.run_forever())
    loop.close()


@scenario
def running_loop_is_set_and_restored():
    loop = new_loop()
    attempt("outside", asyncio.get_running_loop)
    emit(asyncio._get_running_loop())
    loop.call_soon(lambda: emit(asyncio._get_running_loop() is loop))
    loop.call_soon(loop.stop)
    loop.run_forever()
    emit(asyncio._get_running_loop())
    loop.close()
