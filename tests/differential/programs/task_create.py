"""Making tasks: what is accepted, names, loops, factories."""

import asyncio
import types

from observe import attempt, attempt_type, emit, new_loop, outcome, scenario


async def nothing():
    return "nothing"


@scenario
async def wrong_types():
    loop = asyncio.get_running_loop()
    for value in (None, 1, "text", print, nothing, loop.create_future()):
        attempt("create_task", asyncio.create_task, value)
        attempt("loop.create_task", loop.create_task, value)
        attempt("Task", asyncio.Task, value)


@scenario
async def awaitables_are_not_coroutines():
    class Awaitable:
        def __await__(self):
            yield

    attempt("create_task", asyncio.create_task, Awaitable())
    attempt("Task", asyncio.Task, Awaitable())

    def generator():
        yield

    gen = generator()
    attempt("generator", asyncio.create_task, gen)

    @types.coroutine
    def decorated():
        yield
        return "decorated"

    await outcome("types.coroutine", asyncio.create_task(decorated()))


@scenario
async def coroutine_abc():
    import collections.abc

    class Coro(collections.abc.Coroutine):
        def __init__(self):
            self.steps = 0

        def send(self, value):
            self.steps += 1
            emit("send", value)
            if self.steps == 3:
                raise StopIteration("from send")

        def throw(self, *args):
            raise AssertionError

        def close(self):
            emit("close")

        def __await__(self):
            raise AssertionError

    emit(asyncio.iscoroutine(Coro()))
    emit(await asyncio.create_task(Coro()))


@scenario
def no_running_loop():
    coro = nothing()
    attempt("create_task", asyncio.create_task, coro)
    coro.close()
    coro = nothing()
    attempt("Task", asyncio.Task, coro)
    coro.close()
    loop = new_loop()
    task = loop.create_task(nothing())
    emit(loop.run_until_complete(task), task.get_loop() is loop)
    task = asyncio.Task(nothing(), loop=loop, name="by hand")
    emit(loop.run_until_complete(task), task)
    loop.close()


@scenario
async def names():
    emit(asyncio.create_task(nothing(), name="given").get_name())
    emit(asyncio.create_task(nothing(), name=42).get_name())
    task = asyncio.create_task(nothing())
    other = asyncio.create_task(nothing())
    emit(task.get_name(), other.get_name(), task.get_name() != other.get_name())
    task.set_name("renamed")
    emit(task.get_name(), task)
    task.set_name(("a", "tuple"))
    emit(task.get_name(), type(task.get_name()))
    await task
    task.set_name("after it is done")
    emit(task)


@scenario
async def awaiting_a_loop_task():
    task = asyncio.create_task(nothing())
    emit(task.done())
    emit(await task, task.done(), task.result(), task.exception(), task)
    emit(await task)


@scenario
async def start_order():
    async def child(i):
        emit("started", i)
        await asyncio.sleep(0)
        emit("resumed", i)

    tasks = [asyncio.create_task(child(i)) for i in range(3)]
    emit("created")
    await tasks[2]
    emit("last awaited")
    await asyncio.gather(*tasks)


@scenario
async def result_and_exception_setters():
    task = asyncio.create_task(nothing())
    attempt("set_result", task.set_result, 1)
    attempt("set_exception", task.set_exception, ValueError())
    await task


@scenario
async def factory():
    loop = asyncio.get_running_loop()

    def make(loop, coro, **kwargs):
        emit("factory", sorted(kwargs))
        kwargs.setdefault("name", "no name")
        return asyncio.Task(coro, loop=loop, **{k: v for k, v in kwargs.items() if k in ("name", "context")})

    emit(loop.get_task_factory())
    loop.set_task_factory(make)
    emit(loop.get_task_factory() is make)
    task = loop.create_task(nothing())
    await task
    await asyncio.gather(nothing(), nothing())
    loop.set_task_factory(None)
    emit(loop.get_task_factory(), await asyncio.create_task(nothing(), name="plain"))


@scenario
async def wrong_factories():
    loop = asyncio.get_running_loop()
    attempt("number", loop.set_task_factory, 42)
    attempt("text", loop.set_task_factory, "text")


@scenario(
    differs="`create_task()` gives the name to the task factory, as since 3.13.3.",
    differs_in=[(3, 13)],
    expected=[
        ["event", "create_task", "returned", "Fake"],
    ],
)
async def factory_returns_something_else():
    loop = asyncio.get_running_loop()

    class Fake:
        def __init__(self, coro):
            coro.close()

        def set_name(self, name):
            emit("set_name", name)

        def __repr__(self):
            return "Fake"

    loop.set_task_factory(lambda loop, coro, **kwargs: Fake(coro))
    attempt("create_task", asyncio.create_task, nothing())
    loop.set_task_factory(None)


@scenario
async def arguments():
    loop = asyncio.get_running_loop()
    attempt_type("nothing", asyncio.create_task)
    attempt_type("method, nothing", loop.create_task)
    attempt_type("Task, nothing", asyncio.Task)
    coro = nothing()
    attempt_type("name by position", asyncio.create_task, coro, "name")
    attempt_type("unknown keyword", lambda: asyncio.create_task(coro, other=1))
    attempt_type("Task: name by position", asyncio.Task, coro, loop, "name")
    coro.close()
