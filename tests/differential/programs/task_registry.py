"""all_tasks, current_task, and what is seen of tasks that are gone."""

import asyncio
import sys

from observe import attempt, emit, new_loop, outcome, scenario, spin


def names(tasks):
    return sorted(task.get_name() for task in tasks)


@scenario
async def all_tasks():
    asyncio.current_task().set_name("main")
    emit(names(asyncio.all_tasks()))
    tasks = [asyncio.create_task(asyncio.sleep(0), name=f"child {i}") for i in range(3)]
    emit(names(asyncio.all_tasks()), type(asyncio.all_tasks()))
    await tasks[0]
    emit(names(asyncio.all_tasks()))
    await asyncio.gather(*tasks)
    emit(names(asyncio.all_tasks()))


@scenario
def all_tasks_elsewhere():
    attempt("no running loop", asyncio.all_tasks)
    attempt("current_task", asyncio.current_task)
    loop = new_loop()
    emit(asyncio.all_tasks(loop), asyncio.current_task(loop))
    task = loop.create_task(asyncio.sleep(0), name="waiting")
    emit(names(asyncio.all_tasks(loop)))
    loop.run_until_complete(task)
    emit(asyncio.all_tasks(loop))
    loop.close()


@scenario(
    differs="since 3.14 stock keeps its own tasks elsewhere; the set has all of ferrio's on every Python",
    differs_in=[(3, 14), (3, 15)],
    expected=[
        ["event", True, False, True],
        ["event", True, True],
        ["event", False, []],
        ["event", True, ["waiting"]],
    ],
)
def the_set_behind_all_tasks():
    registered = getattr(asyncio.tasks, "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks")
    loop = new_loop()
    task = loop.create_task(asyncio.sleep(0), name="waiting")
    emit(task in registered, object() in registered, [each for each in registered if each is task] == [task])
    emit(len(registered) >= 1, task in set(registered))
    registered.discard(task)
    emit(task in registered, asyncio.all_tasks(loop))
    registered.add(task)
    emit(task in registered, names(asyncio.all_tasks(loop)))
    loop.run_until_complete(task)
    loop.close()


@scenario
async def current_task():
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()

    async def child():
        emit(asyncio.current_task().get_name(), asyncio.current_task() is not main)

    await asyncio.create_task(child(), name="child")
    emit(asyncio.current_task() is main, asyncio.current_task(loop) is main)
    await child2(main)
    loop.call_soon(lambda: emit("in a callback", asyncio.current_task()))
    await spin(2)


async def child2(main):
    emit(asyncio.current_task() is main)


@scenario
def current_task_without_a_task():
    loop = new_loop()
    loop.call_soon(lambda: emit(asyncio.current_task(), asyncio.get_running_loop() is loop))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()


@scenario
def wrong_argument():
    attempt("all_tasks", asyncio.all_tasks, 42)
    attempt("current_task", asyncio.current_task, "text")


@scenario
async def nested_step():
    async def other():
        await asyncio.sleep(0)

    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    attempt("enter", asyncio.tasks._enter_task, loop, asyncio.Task(other()))
    attempt("leave", asyncio.tasks._leave_task, loop, 42)
    emit(asyncio.current_task() is task)
    await asyncio.gather(*(asyncio.all_tasks() - {task}))


@scenario
def destroyed_pending():
    loop = new_loop()

    async def child():
        await loop.create_future()

    task = loop.create_task(child(), name="doomed")
    loop.call_soon(loop.stop)
    loop.run_forever()
    del task
    import gc

    gc.collect()
    emit("collected", len(asyncio.all_tasks(loop)))
    loop.close()


@scenario
def destroyed_pending_context():
    loop = new_loop()

    def handler(loop, context):
        emit(sorted(context), context["message"], context["task"])

    loop.set_exception_handler(handler)

    async def child():
        await loop.create_future()

    task = loop.create_task(child(), name="doomed")
    loop.call_soon(loop.stop)
    loop.run_forever()
    del task
    import gc

    gc.collect()
    loop.close()


@scenario
def never_started():
    loop = new_loop()

    async def child():
        pass

    task = loop.create_task(child(), name="never started")
    loop.close()
    del task
    import gc

    gc.collect()


@scenario
async def exception_never_retrieved():
    async def fails():
        raise ValueError("nobody looked")

    task = asyncio.create_task(fails(), name="fails")
    await spin(2)
    del task


@scenario
async def retrieved():
    async def fails():
        raise ValueError("looked at")

    task = asyncio.create_task(fails())
    await outcome("task", task)
    task = asyncio.create_task(fails())
    await spin(2)
    emit(task.exception())


@scenario
async def kept_alive_by_the_loop():
    emitted = []

    async def child():
        await asyncio.sleep(0.001)
        emitted.append("finished although nobody holds it")

    asyncio.create_task(child())
    import gc

    gc.collect()
    await asyncio.sleep(0.02)  # a timer due later than the child's
    emit(emitted)


@scenario
async def register_by_hand():
    class Foreign:
        def __init__(self, loop):
            self.loop = loop

        def get_loop(self):
            return self.loop

        def done(self):
            return False

        def get_name(self):
            return "foreign"

    task = Foreign(asyncio.get_running_loop())
    asyncio.tasks._register_task(task)
    emit("foreign" in names(asyncio.all_tasks()))
    asyncio.tasks._unregister_task(task)
    emit("foreign" in names(asyncio.all_tasks()))
