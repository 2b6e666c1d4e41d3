"""os.fork in a coroutine: the child has no running loop and no current task."""

import asyncio
import multiprocessing
import os
import warnings

from observe import attempt, emit, scenario

warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)


def in_child(function):
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    emit("child status", os.waitstatus_to_exitcode(status))


@scenario
async def no_running_loop():
    def child():
        attempt("get_running_loop", asyncio.get_running_loop)
        emit(asyncio._get_running_loop())

    in_child(child)
    emit(asyncio.get_running_loop() is not None)


@scenario
async def child_runs_its_own():
    async def work():
        await asyncio.sleep(0.001)  # a timer and a poll of its own
        return "from the child"

    in_child(lambda: attempt("run", asyncio.run, work()))
    emit(await asyncio.sleep(0, "parent goes on"))


@scenario
async def current_task_in_the_child():
    def child():
        attempt("current_task", asyncio.current_task)
        attempt("all_tasks", asyncio.all_tasks)

    in_child(child)


@scenario
async def multiprocessing_fork():
    def work(queue):
        async def inner():
            return asyncio.current_task() is not None

        queue.put(asyncio.run(inner()))

    ctx = multiprocessing.get_context("fork")
    queue = ctx.SimpleQueue()
    process = ctx.Process(target=work, args=(queue,))
    process.start()
    emit(queue.get())
    process.join()


@scenario
async def sleeping_parent_is_unaffected():
    # Due when the child is gone, or still there.
    task = asyncio.create_task(asyncio.sleep(0.02, "slept"))
    in_child(lambda: emit("child ran"))
    emit(await task)


@scenario
def current_task_of_a_loop_of_the_users():
    loop, task = object(), object()

    def child():
        asyncio._set_running_loop(loop)
        emit("the parent's" if asyncio.current_task() is task else asyncio.current_task())

    asyncio._set_running_loop(loop)
    asyncio.tasks._enter_task(loop, task)
    in_child(child)
    emit(asyncio.current_task() is task)
    asyncio.tasks._leave_task(loop, task)
    asyncio._set_running_loop(None)
