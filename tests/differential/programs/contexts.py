"""contextvars: which context callbacks, tasks and done callbacks run in.

A sleep in here is a timer due later than those that are watched: it ends when they have run.
"""

import asyncio
import contextvars

from observe import attempt, emit, scenario, spin

var = contextvars.ContextVar("var", default="default")


def show(label, *_):
    emit(label, var.get())


@scenario
async def callbacks_copy_the_current_one():
    loop = asyncio.get_running_loop()
    var.set("at call time")
    loop.call_soon(show, "soon")
    loop.call_later(0, show, "later")
    loop.call_at(0, show, "at")
    loop.call_soon_threadsafe(show, "threadsafe")
    var.set("changed")
    await asyncio.sleep(0.01)


@scenario
async def explicit_context():
    loop = asyncio.get_running_loop()
    ctx = contextvars.copy_context()
    ctx.run(var.set, "explicit")
    loop.call_soon(show, "soon", context=ctx)
    loop.call_later(0, show, "later", context=ctx)
    loop.call_at(0, show, "at", context=ctx)
    loop.call_soon_threadsafe(show, "threadsafe", context=ctx)
    fut = loop.create_future()
    fut.add_done_callback(lambda f: show("done callback"), context=ctx)
    fut.set_result(1)
    await asyncio.sleep(0.01)


@scenario
async def callback_changes_its_context():
    loop = asyncio.get_running_loop()
    ctx = contextvars.copy_context()
    loop.call_soon(var.set, "set by a callback", context=ctx)
    loop.call_soon(show, "same context", context=ctx)
    loop.call_soon(show, "a copy")
    await spin(2)
    emit(ctx[var], var.get())


@scenario
async def task_has_a_copy():
    async def child():
        show("in task")
        var.set("by task")
        await asyncio.sleep(0)
        show("after await")

    var.set("outer")
    task = asyncio.create_task(child())
    var.set("outer changed")
    await task
    show("outer afterwards")


@scenario
async def task_with_given_context():
    async def child():
        show("in task")
        var.set("by task")

    ctx = contextvars.copy_context()
    ctx.run(var.set, "given")
    await asyncio.create_task(child(), context=ctx)
    emit(ctx[var], var.get())


@scenario
async def awaited_coroutine_shares_it():
    async def child():
        var.set("by the coroutine")

    await child()
    show("after a plain await")
    await asyncio.wait_for(child(), 5)
    show("after wait_for")


@scenario
async def done_callback_context():
    fut = asyncio.get_running_loop().create_future()
    var.set("when added")
    fut.add_done_callback(lambda f: show("callback"))
    var.set("when resolved")
    fut.set_result(None)
    await spin(2)


@scenario
async def done_callback_on_a_done_future():
    fut = asyncio.get_running_loop().create_future()
    fut.set_result(None)
    var.set("when added")
    fut.add_done_callback(lambda f: show("callback"))
    var.set("later")
    await spin(2)


@scenario(since=(3, 12))
async def get_context():
    ctx = contextvars.copy_context()
    task = asyncio.create_task(asyncio.sleep(0), context=ctx)
    emit(task.get_context() is ctx)
    other = asyncio.create_task(asyncio.sleep(0))
    emit(type(other.get_context()), other.get_context() is ctx)
    await asyncio.gather(task, other)
    emit(task.get_context() is ctx)


@scenario(since=(3, 12))
async def handle_get_context():
    loop = asyncio.get_running_loop()
    ctx = contextvars.copy_context()
    handle = loop.call_soon(show, "x", context=ctx)
    emit(handle.get_context() is ctx)
    await spin(2)


@scenario
async def wrong_context():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: emit(sorted(context), context["exception"]))
    attempt("create_task", lambda: asyncio.create_task(asyncio.sleep(0), context=None).cancel())


@scenario
def runner_context():
    ctx = contextvars.copy_context()
    ctx.run(var.set, "runner")

    async def main():
        show("main")
        var.set("by main")

    with asyncio.Runner() as runner:
        runner.run(main(), context=ctx)
        emit(ctx[var])
        runner.run(main())
        runner.run(main())
        show("outside")


@scenario
async def to_thread_copies():
    var.set("for the thread")
    emit(await asyncio.to_thread(var.get))
    emit(await asyncio.get_running_loop().run_in_executor(None, var.get))


@scenario
async def task_group_context():
    async def child():
        show("child")

    ctx = contextvars.copy_context()
    ctx.run(var.set, "given")
    async with asyncio.TaskGroup() as tg:
        tg.create_task(child(), context=ctx)
        tg.create_task(child())
