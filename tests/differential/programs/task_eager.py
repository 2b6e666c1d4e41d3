"""Eager tasks (3.12): the first step runs inside create_task."""

import asyncio
import contextvars

from observe import emit, outcome, scenario

var = contextvars.ContextVar("var", default="default")


def eager():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)


async def value(x):
    emit("runs", x)
    return x


async def waits(fut):
    emit("waits")
    result = await fut
    emit("resumed", result)
    return result


@scenario(since=(3, 12))
async def finishes_at_once():
    eager()
    task = asyncio.create_task(value(1), name="quick")
    emit(task.done(), task.result(), task)
    emit(await task)


@scenario(since=(3, 12))
async def blocks():
    eager()
    fut = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waits(fut), name="blocks")
    emit(task.done(), task in asyncio.all_tasks())
    fut.set_result("x")
    emit(await task)


@scenario(since=(3, 12))
async def raises_at_once():
    eager()

    async def fails():
        raise ValueError("eagerly")

    task = asyncio.create_task(fails())
    emit(task.done())
    await outcome("task", task)


@scenario(since=(3, 12))
async def never_retrieved():
    eager()

    async def fails():
        raise ValueError("eagerly lost")

    asyncio.create_task(fails(), name="lost")


@scenario(
    since=(3, 12),
    differs="`create_task()` gives the name to the task factory, as since 3.13.3.",
    differs_in=[(3, 13)],
    expected=[
        ["event", "enter", 1, "level 1"],
        ["event", "enter", 2, "level 2"],
        ["event", "enter", 3, "level 3"],
        ["event", "leave", 3, True],
        ["event", "back", 2, True, True],
        ["event", "leave", 2, True],
        ["event", "back", 1, True, True],
        ["event", "leave", 1, True],
        ["event", True],
    ],
)
async def current_task_is_swapped():
    eager()
    main = asyncio.current_task()
    main.set_name("main")

    async def level(n):
        me = asyncio.current_task()
        emit("enter", n, me.get_name())
        if n < 3:
            task = asyncio.create_task(level(n + 1), name=f"level {n + 1}")
            emit("back", n, asyncio.current_task() is me, task.done())
        emit("leave", n, asyncio.current_task() is me)

    await asyncio.create_task(level(1), name="level 1")
    emit(asyncio.current_task() is main)


@scenario(since=(3, 12))
async def context_is_a_copy():
    eager()
    var.set("outer")

    async def child():
        emit(var.get())
        var.set("child")
        return var.get()

    task = asyncio.create_task(child())
    emit(task.result(), var.get())
    ctx = contextvars.copy_context()
    ctx.run(var.set, "given")
    task = asyncio.create_task(child(), context=ctx)
    emit(task.result(), var.get(), ctx[var])


@scenario(since=(3, 12))
async def cancel_itself():
    eager()

    async def child():
        asyncio.current_task().cancel("self")
        await asyncio.sleep(0)

    task = asyncio.create_task(child())
    emit(task.done())
    await outcome("task", task)


@scenario(since=(3, 12))
async def cancel_after_blocking():
    eager()
    task = asyncio.create_task(waits(asyncio.get_running_loop().create_future()))
    task.cancel("later")
    await outcome("task", task)


@scenario(since=(3, 12))
async def eager_start_argument():
    loop = asyncio.get_running_loop()
    task = asyncio.Task(value(1), loop=loop, eager_start=True)
    emit(task.done(), task.result())
    task = asyncio.Task(value(2), loop=loop, eager_start=False)
    emit(task.done(), await task)


@scenario(since=(3, 12))
def eager_start_without_running_loop():
    loop = asyncio.new_event_loop()
    task = asyncio.Task(value(1), loop=loop, eager_start=True, name="not running")
    emit(task.done())
    emit(loop.run_until_complete(task))
    loop.close()


@scenario(since=(3, 12))
async def bare_yield():
    eager()
    task = asyncio.create_task(asyncio.sleep(0, "slept"))
    emit(task.done(), await task)


@scenario(since=(3, 12))
async def gather_and_group():
    eager()
    emit(await asyncio.gather(value(1), value(2), asyncio.sleep(0, 3)))
    async with asyncio.TaskGroup() as tg:
        tasks = [tg.create_task(value(i)) for i in range(3)]
        emit([t.done() for t in tasks])
    emit(await asyncio.wait_for(value(9), 5))


@scenario(since=(3, 12))
async def group_with_eager_failure():
    eager()

    async def fails():
        raise ValueError("eagerly")

    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(fails())
            emit("body goes on")
            await asyncio.sleep(0)
            emit("not reached")

    await outcome("group", body())


@scenario(since=(3, 12))
async def create_eager_task_factory():
    class Mine(asyncio.Task):
        pass

    asyncio.get_running_loop().set_task_factory(asyncio.create_eager_task_factory(Mine))
    task = asyncio.create_task(value(1))
    emit(type(task), task.done())
    asyncio.get_running_loop().set_task_factory(asyncio.create_eager_task_factory(asyncio.Task))
    emit(type(asyncio.create_task(value(2))))


@scenario(since=(3, 12))
async def how_an_eager_factory_is_known():
    # By its code, with the constructor in its closure: anyio, which needs tasks that are not eager, looks at both.
    class Mine(asyncio.Task):
        pass

    factory, plain = asyncio.create_eager_task_factory(Mine), asyncio.eager_task_factory
    emit(factory.__code__ is plain.__code__, type(factory.__code__), factory.__name__, factory.__qualname__)
    emit(factory.__closure__[0].cell_contents is Mine, plain.__closure__[0].cell_contents is asyncio.Task)


@scenario(since=(3, 12))
async def swallowing_a_throw_at_once():
    eager()

    class Odd:
        def __await__(self):
            try:
                yield 42
            except RuntimeError as exc:
                emit(exc)
            return "recovered"

    async def child():
        return await Odd()

    emit(await asyncio.create_task(child(), name="odd"))
