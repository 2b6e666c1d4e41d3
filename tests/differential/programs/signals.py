"""add_signal_handler, remove_signal_handler and signals of the process."""

import asyncio
import os
import signal
import threading

from observe import attempt, emit, new_loop, scenario, spin, until, watch_exceptions


@scenario
async def handler_runs_in_the_loop():
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def handler(*args):
        emit("handler", args, asyncio.get_running_loop() is loop)
        done.set_result("signalled")

    emit(loop.add_signal_handler(signal.SIGUSR1, handler, 1, "two"))
    os.kill(os.getpid(), signal.SIGUSR1)
    emit(await done)
    emit(loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1))
    emit(signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL)


@scenario
async def replaced():
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, emit, "first")
    loop.add_signal_handler(signal.SIGUSR1, done.set_result, "second")
    signal.raise_signal(signal.SIGUSR1)
    emit(await done)
    loop.remove_signal_handler(signal.SIGUSR1)


@scenario
async def several_signals():
    loop = asyncio.get_running_loop()
    seen = []
    done = loop.create_future()

    def handler(number):
        seen.append(number.name)
        if len(seen) == 3:
            done.set_result(None)

    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, handler, number)
    for number in numbers:
        signal.raise_signal(number)
    await done
    emit(seen)
    for number in numbers:
        loop.remove_signal_handler(number)


@scenario
async def wrong_arguments():
    loop = asyncio.get_running_loop()

    async def coroutine():
        pass

    attempt("text", loop.add_signal_handler, "SIGINT", print)
    attempt("0", loop.add_signal_handler, 0, print)
    attempt("huge", loop.add_signal_handler, 5000, print)
    attempt("SIGKILL", loop.add_signal_handler, signal.SIGKILL, print)
    attempt("SIGSTOP", loop.add_signal_handler, signal.SIGSTOP, print)
    attempt("coroutine function", loop.add_signal_handler, signal.SIGUSR1, coroutine)
    coro = coroutine()
    attempt("coroutine", loop.add_signal_handler, signal.SIGUSR1, coro)
    coro.close()
    attempt("remove: text", loop.remove_signal_handler, "x")
    attempt("remove: unknown", loop.remove_signal_handler, signal.SIGUSR2)
    attempt("remove: huge", loop.remove_signal_handler, 5000)


@scenario
async def sigint_handler():
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.add_signal_handler(signal.SIGINT, done.set_result, "no KeyboardInterrupt")
    signal.raise_signal(signal.SIGINT)
    emit(await done)
    loop.remove_signal_handler(signal.SIGINT)
    emit(signal.getsignal(signal.SIGINT) is signal.default_int_handler)


@scenario
async def failing_handler():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    done = loop.create_future()

    def handler():
        loop.call_soon(done.set_result, None)
        raise ValueError("in a signal handler")

    loop.add_signal_handler(signal.SIGUSR1, handler)
    signal.raise_signal(signal.SIGUSR1)
    await done
    await spin(2)
    loop.remove_signal_handler(signal.SIGUSR1)


@scenario
def outside_the_main_thread():
    def work():
        loop = new_loop()
        attempt("add", loop.add_signal_handler, signal.SIGUSR1, print)
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@scenario
def close_removes_handlers():
    loop = new_loop()
    loop.add_signal_handler(signal.SIGUSR1, print)
    emit(signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL)
    loop.close()
    emit(signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL)
    attempt("closed", loop.add_signal_handler, signal.SIGUSR1, print)
    emit(signal.set_wakeup_fd(-1))


@scenario
async def python_handlers_still_run():
    hits = []
    signal.signal(signal.SIGUSR2, lambda number, frame: hits.append(number))
    os.kill(os.getpid(), signal.SIGUSR2)
    await until(lambda: hits)
    emit(hits == [signal.SIGUSR2])
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)


@scenario
async def wakes_a_sleeping_loop():
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.add_signal_handler(signal.SIGALRM, done.set_result, "alarm")
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    emit(await done)
    loop.remove_signal_handler(signal.SIGALRM)
