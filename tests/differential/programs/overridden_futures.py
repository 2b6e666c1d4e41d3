"""Futures and tasks whose result(), exception(), cancelled(), done() … are not asyncio's: they are asked."""

import asyncio

from observe import emit, outcome, scenario, spin


class Result(asyncio.Future):
    def result(self):
        return ("mine", super().result())


class Raises(asyncio.Future):
    """Has a result, and says that it has an exception."""

    def exception(self):
        return LookupError("mine")


class Cancelled(asyncio.Future):
    """Has a result, and says that it was cancelled."""

    def cancelled(self):
        return True


class Loop(asyncio.Future):
    def get_loop(self):
        emit("get_loop")
        return super().get_loop()


class Callbacks(asyncio.Future):
    def add_done_callback(self, fn, *, context=None):
        emit("add_done_callback", context is not None)
        super().add_done_callback(fn, context=context)

    def remove_done_callback(self, fn):
        emit("remove_done_callback")
        return super().remove_done_callback(fn)


class Refuses(asyncio.Future):
    def cancel(self, msg=None):
        emit("cancel", msg)
        return False


class Awaited(asyncio.Future):
    def __await__(self):
        emit("__await__")
        value = yield from super().__await__()
        return ("awaited", value)

    __iter__ = __await__


class Mine(asyncio.Task):
    def result(self):
        return ("task", super().result())


def done(cls, value=1):
    fut = cls()
    fut.set_result(value)
    return fut


async def later(fut, value):
    await spin()
    fut.set_result(value)


async def nothing():
    return "nothing"


def pending(cls):
    """A future of that class that is done in a while."""
    fut = cls()
    task = asyncio.create_task(later(fut, 2))
    fut.keeper = task
    return fut


@scenario
async def gathered():
    for cls in (Result, Raises, Cancelled, Loop, Callbacks, Awaited):
        for make in (done, pending):
            await outcome(f"{cls.__name__} {make.__name__}", asyncio.gather(make(cls)))
            await outcome("exceptions too", asyncio.gather(make(cls), return_exceptions=True))


@scenario
async def gathered_with_others():
    emit(await asyncio.gather(pending(Result), nothing(), pending(Result)))


@scenario
async def gathered_tasks():
    loop = asyncio.get_running_loop()
    emit(await asyncio.gather(Mine(nothing(), loop=loop), Mine(nothing(), loop=loop)))


@scenario
async def gather_is_cancelled():
    fut = Refuses()
    gathered = asyncio.gather(fut)
    emit(gathered.cancel("please"))
    fut.set_result("in the end")
    await outcome("gathered", gathered)


@scenario
async def awaited():
    for cls in (Result, Raises, Cancelled, Callbacks, Awaited):
        for make in (done, pending):
            await outcome(f"{cls.__name__} {make.__name__}", make(cls))


@scenario
async def awaited_by_the_library():
    """What asyncio's own coroutines await."""
    for cls in (Result, Cancelled, Awaited):
        for make in (done, pending):
            await outcome(f"{cls.__name__} {make.__name__}", asyncio.wait_for(make(cls), 10))


@scenario
async def waited():
    for cls in (Result, Raises, Cancelled, Callbacks):
        for until in (asyncio.ALL_COMPLETED, asyncio.FIRST_EXCEPTION):
            finished, left = await asyncio.wait([pending(cls)], return_when=until)
            emit(cls.__name__, until, len(finished), len(left))


@scenario
async def as_completed():
    for cls in (Result, Raises, Cancelled, Awaited):
        for make in (done, pending):
            for next_one in asyncio.as_completed([make(cls)]):
                await outcome(f"{cls.__name__} {make.__name__}", next_one)


@scenario(
    differs="stock keeps the call graph by done callbacks since 3.14, ferrio without them",
    differs_in=[(3, 14), (3, 15)],
    expected=[
        ["event", "Result", "returned", ["mine", 2]],
        ["event", "Raises", "raised", {"exception": "LookupError", "message": "mine"}],
        ["event", "Cancelled", "raised", {"exception": "CancelledError", "message": ""}],
        ["event", "add_done_callback", False],
        ["event", "Callbacks", "returned", 2],
    ],
)
async def shielded():
    for cls in (Result, Raises, Cancelled, Callbacks):
        await outcome(cls.__name__, asyncio.shield(pending(cls)))


@scenario
async def in_a_group():
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **kwargs: Mine(coro, loop=loop, **kwargs))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(nothing())
    emit(type(task), task.result())
    loop.set_task_factory(None)


@scenario
def run_until_complete():
    loop = asyncio.new_event_loop()
    fut = Result(loop=loop)
    loop.call_soon(fut.set_result, 5)
    emit(loop.run_until_complete(fut))
    task = Mine(nothing(), loop=loop)
    emit(loop.run_until_complete(task))
    loop.close()


@scenario
async def a_task_is_cancelled_in_it():
    fut = Refuses()

    async def waits():
        return await fut

    task = asyncio.create_task(waits())
    await spin()
    task.cancel("please")
    await spin()
    emit(task.done())
    if not fut.done():
        fut.set_result(1)
    await outcome("task", task)
