"""Executors when a loop ends: threads that are still busy, shutdown timeouts, concurrent shutdowns."""

import asyncio
import concurrent.futures
import threading

from observe import attempt, emit, new_loop, scenario


@scenario
def run_waits_for_the_executor():
    order = []

    async def main():
        go = threading.Event()

        def work():
            go.wait(10)
            order.append("thread")

        asyncio.get_running_loop().run_in_executor(None, work)
        go.set()
        return "main"

    emit(asyncio.run(main()), order)


@scenario(since=(3, 13))  # 3.12.1 waits for the thread all the same
def shutdown_timeout():
    loop = new_loop()
    go = threading.Event()
    loop.run_in_executor(None, go.wait, 10)
    loop.run_until_complete(loop.shutdown_default_executor(timeout=0.01))
    go.set()
    loop.close()


@scenario
def closing_without_shutdown():
    loop = new_loop()
    emit(loop.run_until_complete(loop.run_in_executor(None, int, "3")))
    loop.close()
    attempt("afterwards", loop.run_in_executor, None, int)


@scenario
def result_arrives_after_the_loop_is_closed():
    loop = new_loop()
    go = threading.Event()
    fut = loop.run_in_executor(None, go.wait, 10)
    loop.close()
    go.set()
    emit(fut.done())


@scenario
async def executor_that_fails_to_submit():
    class Broken(concurrent.futures.ThreadPoolExecutor):
        def submit(self, *args, **kwargs):
            raise RuntimeError("no")

    attempt("run_in_executor", asyncio.get_running_loop().run_in_executor, Broken(), print)


@scenario
async def exceptions_of_all_kinds():
    loop = asyncio.get_running_loop()
    for error in (
        ValueError("v"),
        KeyboardInterrupt("k"),
        SystemExit(3),
        asyncio.CancelledError("c"),
        OSError(2, "x"),
    ):

        def work(error=error):
            raise error

        try:
            await loop.run_in_executor(None, work)
        except BaseException as exc:
            emit(exc)
