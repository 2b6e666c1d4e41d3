"""Debug mode: wrong threads, slow callbacks, source tracebacks, origin tracking."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import unittest.mock

import observe
from observe import attempt, emit, new_loop, scenario, spin

TESTS = os.path.dirname(os.path.dirname(observe.__file__))


@scenario(
    debug=True,
    differs="`create_task()` from the wrong thread, in debug mode, raises and makes no task. asyncio's "
    "makes one first, and reports it as destroyed.",
    expected=[
        [
            "event",
            "call_soon",
            "raised",
            {
                "exception": "RuntimeError",
                "message": "Non-thread-safe operation invoked on an event loop other than the current one",
            },
        ],
        [
            "event",
            "call_later",
            "raised",
            {
                "exception": "RuntimeError",
                "message": "Non-thread-safe operation invoked on an event loop other than the current one",
            },
        ],
        [
            "event",
            "call_at",
            "raised",
            {
                "exception": "RuntimeError",
                "message": "Non-thread-safe operation invoked on an event loop other than the current one",
            },
        ],
        [
            "event",
            "create_task",
            "raised",
            {
                "exception": "RuntimeError",
                "message": "Non-thread-safe operation invoked on an event loop other than the current one",
            },
        ],
        ["log", "DEBUG", "Close <EventLoop running=False closed=False debug=True>", None],
    ],
)
async def wrong_thread():
    loop = asyncio.get_running_loop()

    def other():
        attempt("call_soon", loop.call_soon, emit)
        attempt("call_later", loop.call_later, 1, emit)
        attempt("call_at", loop.call_at, 1, emit)
        coro = asyncio.sleep(0)
        attempt("create_task", loop.create_task, coro)
        coro.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    await spin()


@scenario
async def wrong_thread_without_debug():
    loop = asyncio.get_running_loop()
    thread = threading.Thread(
        target=lambda: attempt("call_soon", lambda: loop.call_soon(emit, "ran") and None)
    )
    thread.start()
    thread.join()
    await spin(2)


@scenario
def not_running_is_any_thread():
    loop = new_loop(debug=True)
    thread = threading.Thread(
        target=lambda: attempt("call_soon", lambda: loop.call_soon(emit, "ran") and None)
    )
    thread.start()
    thread.join()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()


@scenario(debug=True)
async def slow_callback():
    loop = asyncio.get_running_loop()
    emit(loop.slow_callback_duration)
    loop.slow_callback_duration = 0.05

    def slow():
        time.sleep(0.08)  # the callback has to be slow: that is what is logged

    loop.call_soon(slow)
    await spin(2)


@scenario(debug=True)
async def slow_task():
    asyncio.get_running_loop().slow_callback_duration = 0.05

    async def child():
        time.sleep(0.08)  # as above

    await asyncio.create_task(child(), name="slow")


@scenario(debug=True)
async def nothing_slow():
    asyncio.get_running_loop().slow_callback_duration = 1000
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(5)))


@scenario
def flag():
    loop = new_loop()
    emit(loop.get_debug())
    loop.set_debug(True)
    emit(loop.get_debug(), loop)
    loop.set_debug(0)
    emit(bool(loop.get_debug()))
    loop.close()


@scenario
def coroutine_origin_tracking():
    emit(sys.get_coroutine_origin_tracking_depth())

    async def main():
        emit(sys.get_coroutine_origin_tracking_depth() > 0)
        asyncio.get_running_loop().set_debug(False)
        await spin(2)
        emit(sys.get_coroutine_origin_tracking_depth())
        asyncio.get_running_loop().set_debug(True)
        await spin(2)
        emit(sys.get_coroutine_origin_tracking_depth() > 0)

    asyncio.run(main(), debug=True)
    emit(sys.get_coroutine_origin_tracking_depth())


@scenario(debug=True)
async def handle_reprs():
    loop = asyncio.get_running_loop()

    def callback(*args):
        pass

    handle = loop.call_soon(callback, 1, "two")
    emit(handle)
    handle.cancel()
    emit(handle)
    timer = loop.call_at(1e9, callback, "x" * 200)
    emit(str(timer).replace("1000000000.0", "N"))
    timer.cancel()
    emit(timer.cancelled())


@scenario
async def handle_reprs_without_debug():
    loop = asyncio.get_running_loop()

    def callback(*args):
        pass

    handle = loop.call_soon(callback, 1)
    emit(handle)
    handle.cancel()
    emit(handle)
    import functools

    emit(loop.call_soon(functools.partial(callback, 1, named=2), 3))
    emit(loop.call_soon(functools.partial(functools.partial(callback, 1), 2), 3))
    emit(loop.call_soon(len, "text"))
    await spin(2)


@scenario
def environment_variable():
    code = (
        f"import sys; sys.path[:0] = {[TESTS, *sys.path]!r}; import implementation;"
        f"implementation.install({os.environ['OBSERVED']!r});"
        "import asyncio; loop = asyncio.new_event_loop(); print(loop.get_debug()); loop.close()"
    )
    for value in ("1", ""):
        env = dict(os.environ, PYTHONASYNCIODEBUG=value)
        out = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        emit(value, out.stdout.strip())
    out = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=True
    )
    emit(out.stdout.strip())


@scenario(debug=True)
async def never_awaited_names_the_origin():
    async def forgotten():
        pass

    forgotten()


@scenario(debug=True)
async def an_error_report_says_where_the_handle_was_made():
    loop = asyncio.get_running_loop()

    def reported(context):
        # The frames of the library in it differ, so the log is not compared.
        with unittest.mock.patch("asyncio.base_events.logger"):
            loop.default_exception_handler(context)
        return context.get("handle_traceback")

    def called():
        emit(loop._current_handle._callback is called)
        emit(reported({"message": "from a callback"})[-1].name)
        emit(reported({"message": "of something else", "source_traceback": []}))
        done.set_result(None)

    def readable():
        heard.set_result(reported({"message": "from a reader"}) is not None)
        loop.remove_reader(reader)
        emit(reported({"message": "from a reader that was removed"}) is not None)

    done = loop.create_future()
    loop.call_soon(called)
    await done
    reader, writer = os.pipe()
    heard = loop.create_future()
    loop.add_reader(reader, readable)
    os.write(writer, b"x")
    emit(await heard)
    os.close(reader)
    os.close(writer)


@scenario(debug=True)
def every_kind_of_handle_says_where_it_was_made():
    loop = new_loop(debug=True)
    reader, writer = os.pipe()
    handles = {
        "call_soon": loop.call_soon(int),
        "call_soon_threadsafe": loop.call_soon_threadsafe(int),
        "call_later": loop.call_later(60, int),
        "call_at": loop.call_at(loop.time() + 60, int),
        "reader": loop._add_reader(reader, int),
        "writer": loop._add_writer(writer, int),
    }
    loop.add_signal_handler(signal.SIGUSR1, int)
    handles["signal"] = loop._signal_handlers[signal.SIGUSR1]
    emit({name: handle._source_traceback is not None for name, handle in handles.items()})
    for handle in handles.values():
        handle.cancel()
    emit({name: handle._source_traceback is not None for name, handle in handles.items()})
    loop.close()
    os.close(reader)
    os.close(writer)
