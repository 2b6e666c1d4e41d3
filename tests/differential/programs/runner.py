"""asyncio.run and Runner: errors, nesting, debug, loop factories, what is cancelled at the end."""

import asyncio
import signal
import threading

from observe import attempt, attempt_type, emit, new_loop, scenario, spin


async def value(x):
    return x


@scenario
def result():
    emit(asyncio.run(value(1)), asyncio.run(asyncio.sleep(0, "slept")))


@scenario
def exception():
    async def fails():
        raise ValueError("out of run")

    attempt("run", asyncio.run, fails())


@scenario
def wrong_arguments():
    attempt("number", asyncio.run, 5)
    attempt("function", asyncio.run, value)
    attempt("None", asyncio.run, None)
    attempt_type("nothing", asyncio.run)
    coro = value(1)
    attempt_type("debug by position", asyncio.run, coro, True)
    coro.close()


@scenario(
    differs="`run()` within a running loop raises as in asyncio, but the traceback has no frame that "
    "keeps the coroutine and the new loop alive. So warnings about them come earlier.",
    expected=[
        [
            "event",
            "run",
            "raised",
            {
                "exception": "RuntimeError",
                "message": "asyncio.run() cannot be called from a running event loop",
            },
        ],
        [
            "event",
            "runner",
            "raised",
            {
                "exception": "RuntimeError",
                "message": "Runner.run() cannot be called from a running event loop",
            },
        ],
        ["warning", "RuntimeWarning", "coroutine 'BaseEventLoop.shutdown_asyncgens' was never awaited"],
        [
            "raised",
            {
                "exception": "RuntimeError",
                "message": "Cannot run the event loop while another loop is running",
            },
        ],
    ],
)
def nested():
    async def main():
        coro = value(1)
        attempt("run", asyncio.run, coro)
        coro.close()
        with asyncio.Runner() as runner:
            coro = value(2)
            attempt("runner", runner.run, coro)
            coro.close()

    asyncio.run(main())


@scenario
def leftover_tasks_are_cancelled():
    seen = set()  # they are cancelled in the order of a set

    async def child(name):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as exc:
            seen.add((name, exc.args))
            raise

    async def main():
        asyncio.create_task(child("a"))
        asyncio.create_task(child("b"))
        await spin()
        return "main"

    emit(asyncio.run(main()), seen)


@scenario
def leftover_task_fails():
    async def child():
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("during shutdown")

    async def main():
        asyncio.create_task(child(), name="failing")
        await spin()

    asyncio.run(main())


@scenario
def leftover_task_resists_once():
    async def child():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit("resists")
        await asyncio.sleep(0)
        emit("and finishes")

    async def main():
        asyncio.create_task(child())
        await spin()

    asyncio.run(main())


@scenario
def the_loop_is_closed_afterwards():
    loops = []

    async def main():
        loops.append(asyncio.get_running_loop())

    asyncio.run(main())
    emit(loops[0].is_closed(), loops[0].is_running())
    attempt("get_running_loop", asyncio.get_running_loop)


@scenario
def debug_flag():
    async def main():
        return asyncio.get_running_loop().get_debug()

    emit(asyncio.run(main()), asyncio.run(main(), debug=True), asyncio.run(main(), debug=False))


@scenario
def runner():
    with asyncio.Runner() as runner:
        emit(runner.run(value(1)), runner.run(value(2)))
        loop = runner.get_loop()
        emit(loop.is_closed(), loop.is_running())
    emit(loop.is_closed())
    coro = value(3)
    attempt("closed: run", runner.run, coro)
    coro.close()
    attempt("closed: get_loop", runner.get_loop)
    attempt("closed: close", runner.close)
    attempt("closed: enter", runner.__enter__)


@scenario
def runner_is_lazy():
    runner = asyncio.Runner()
    runner.close()
    attempt("close again", runner.close)
    attempt("closed without use", runner.get_loop)
    # It has made one after all, which nobody closes.
    asyncio.set_event_loop(None)


@scenario
def runner_keeps_tasks_between_runs():
    async def start():
        return asyncio.create_task(asyncio.sleep(0, "kept"))

    async def finish(task):
        return await task

    with asyncio.Runner() as runner:
        task = runner.run(start())
        emit(task.done())
        emit(runner.run(finish(task)))


@scenario
def loop_factory():
    made = []

    def factory():
        made.append(new_loop())
        return made[-1]

    with asyncio.Runner(loop_factory=factory, debug=True) as runner:
        emit(runner.run(value(1)), runner.get_loop() is made[0], made[0].get_debug())
    emit(len(made), made[0].is_closed())


@scenario(since=(3, 12))
def run_with_a_loop_factory():
    emit(asyncio.run(value(1), loop_factory=asyncio.new_event_loop))


@scenario
def failing_factory():
    def factory():
        raise OSError("no loop today")

    runner = asyncio.Runner(loop_factory=factory)
    coro = value(1)
    attempt("run", runner.run, coro)
    coro.close()
    attempt("close", runner.close)


@scenario
def keyboard_interrupt_while_waiting():
    async def main():
        try:
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
            await asyncio.sleep(3600)
        except asyncio.CancelledError as exc:
            emit("cancelled", list(exc.args), asyncio.current_task().cancelling())
            raise

    attempt("run", asyncio.run, main())


@scenario
def keyboard_interrupt_swallowed():
    async def main():
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit("swallowed")
        return "went on"

    attempt("run", asyncio.run, main())


@scenario
def keyboard_interrupt_uncancelled():
    async def main():
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
            raise

    attempt("run", asyncio.run, main())


@scenario
def keyboard_interrupt_during_a_step():
    async def main():
        emit("before")
        signal.raise_signal(signal.SIGINT)
        emit("after")
        await asyncio.sleep(0)
        emit("not reached")

    attempt("run", asyncio.run, main())


@scenario
def keyboard_interrupt_twice():
    async def main():
        loop = asyncio.get_running_loop()
        loop.call_soon(signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit("first")
            signal.raise_signal(signal.SIGINT)
            emit("not reached")

    attempt("run", asyncio.run, main())


@scenario
def interrupt_handler_is_restored():
    emit(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    async def main():
        emit(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    asyncio.run(main())
    emit(signal.getsignal(signal.SIGINT) is signal.default_int_handler)


@scenario
def own_interrupt_handler_is_left_alone():
    def handler(signum, frame):
        emit("own handler")

    signal.signal(signal.SIGINT, handler)

    async def main():
        emit(signal.getsignal(signal.SIGINT) is handler)
        signal.raise_signal(signal.SIGINT)

    asyncio.run(main())
    emit(signal.getsignal(signal.SIGINT) is handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@scenario
def system_exit():
    async def main():
        raise SystemExit(7)

    attempt("run", asyncio.run, main())

    # Held here: how long stock's own frames hold it is not what this is about.
    tasks = []

    async def in_a_task():
        async def child():
            raise SystemExit("child")

        tasks.append(asyncio.create_task(child()))
        await asyncio.sleep(3600)

    attempt("run", asyncio.run, in_a_task())
    emit(tasks.pop().exception())


@scenario
def in_a_thread():
    def work():
        emit(asyncio.run(value("thread")))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@scenario
def asyncgens_are_shut_down():
    async def gen():
        try:
            yield 1
            yield 2
        finally:
            emit("generator closed")

    async def main():
        g = gen()
        emit(await anext(g))
        holder.append(g)

    holder = []
    asyncio.run(main())
    emit("after run")


@scenario
def event_loop_of_the_thread():
    async def main():
        return asyncio.get_event_loop() is asyncio.get_running_loop()

    with asyncio.Runner() as runner:
        emit(runner.run(main()))


@scenario(since=(3, 12))
def coroutine_subclass_of_abc():
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaitable"

    attempt("run", asyncio.run, Awaitable())
