"""Task groups and timeouts with methods of their own: `_on_task_done`, `_abort`, `_is_base_error`, `_on_timeout`."""

import asyncio

from observe import emit, scenario, spin


async def value(x):
    await asyncio.sleep(0)
    return x


async def fails(exc):
    await asyncio.sleep(0)
    raise exc


async def forever():
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        emit("cancelled")
        raise


async def enter(group, *coros):
    """Run the coroutines in the group, and say how that ends."""
    try:
        async with group:
            for coro in coros:
                group.create_task(coro)
    except BaseExceptionGroup as exc:
        emit("group", sorted(repr(error) for error in exc.exceptions))
        emit(group)
    except BaseException as exc:
        emit(type(exc), exc.args)
    else:
        emit(group)


@scenario
async def told_of_each_end():
    class Told(asyncio.TaskGroup):
        def _on_task_done(self, task):
            emit("done", task.get_name(), task.cancelled())
            super()._on_task_done(task)

    await enter(Told(), value(1), value(2))
    await enter(Told(), value(1), fails(ValueError("x")), forever())


@scenario
async def a_group_that_goes_on():
    """Errors are noted, and nothing is cancelled: all of it is done with the attributes that asyncio's has."""

    class GoesOn(asyncio.TaskGroup):
        def _on_task_done(self, task):
            self._tasks.discard(task)
            if self._on_completed_fut is not None and not self._tasks and not self._on_completed_fut.done():
                self._on_completed_fut.set_result(True)
            if not task.cancelled() and task.exception() is not None:
                self._errors.append(task.exception())

    await enter(GoesOn(), fails(ValueError("a")), value(1), fails(KeyError("b")), value(2))


@scenario
async def replaced_on_the_instance():
    group = asyncio.TaskGroup()
    ours = group._on_task_done

    def on_task_done(task):
        emit("mine", task.result())
        ours(task)

    group._on_task_done = on_task_done
    await enter(group, value(1))


@scenario
async def aborted():
    class Told(asyncio.TaskGroup):
        def _abort(self):
            emit("abort", len(self._tasks))
            super()._abort()

    await enter(Told(), fails(ValueError("x")), forever(), forever())
    await enter(Told(), value(1))


@scenario
async def nothing_is_cancelled():
    class Lenient(asyncio.TaskGroup):
        def _abort(self):
            emit("not aborting")

    async def slow():
        await spin(3)
        emit("went on")

    await enter(Lenient(), fails(ValueError("x")), slow())


@scenario(since=(3, 13))
async def other_base_errors():
    class Strict(asyncio.TaskGroup):
        def _is_base_error(self, exc):
            return isinstance(exc, ValueError)

    await enter(Strict(), fails(ValueError("as it is")), forever())
    await enter(Strict(), fails(KeyError("in a group")))


@scenario
async def tasks_looked_at():
    async with asyncio.TaskGroup() as group:
        first = group.create_task(value(1))
        emit(group._tasks == {first}, group)
        second = group.create_task(value(2))
        emit(group._tasks == {first, second}, group._tasks is group._tasks)
        await first
        await spin()
        emit(group._tasks == set(), group._errors)
        group.create_task(value(3))
    emit(group._tasks == set())


@scenario
async def timeouts():
    class Told(asyncio.Timeout):
        def _on_timeout(self):
            emit("time is up", self.expired())
            super()._on_timeout()

    for delay in (0, 0.001):
        try:
            async with Told(asyncio.get_running_loop().time() + delay) as timeout:
                timeout.note = "a note"
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            emit("TimeoutError", timeout.expired(), timeout.note)


@scenario
async def a_timeout_that_does_not():
    class Never(asyncio.Timeout):
        def _on_timeout(self):
            emit("ignored")

    async with Never(asyncio.get_running_loop().time()) as timeout:
        await spin(3)
    emit(timeout.expired())


@scenario
async def subclass_without_methods():
    class Plain(asyncio.Timeout):
        pass

    try:
        async with Plain(asyncio.get_running_loop().time() + 0.001):
            await asyncio.get_running_loop().create_future()
    except TimeoutError:
        emit("TimeoutError")
    async with Plain(None) as timeout:
        emit(timeout.when())
