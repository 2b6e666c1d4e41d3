"""TaskGroup: errors, nesting, cancellation, misuse."""

import asyncio

from observe import attempt, attempt_type, chain, emit, outcome, scenario, spin


async def value(x, turns=0):
    for _ in range(turns):
        await asyncio.sleep(0)
    return x


async def fails(text="failed", turns=0, kind=ValueError):
    for _ in range(turns):
        await asyncio.sleep(0)
    raise kind(text)


async def forever(label="forever"):
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError as exc:
        emit(label, "cancelled", list(exc.args))
        raise


@scenario
async def results():
    async with asyncio.TaskGroup() as tg:
        tasks = [tg.create_task(value(i, 3 - i)) for i in range(3)]
        emit("body done", [t.done() for t in tasks])
    emit([t.result() for t in tasks])


@scenario
async def empty():
    async with asyncio.TaskGroup() as tg:
        emit(tg)
    emit(tg)


@scenario
async def one_child_fails():
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(fails("one", 1))
            tg.create_task(forever("sibling"))
            emit("body done")

    await outcome("group", body())


@scenario
async def several_fail():
    async def body():
        async with asyncio.TaskGroup() as tg:
            for i in range(3):
                tg.create_task(fails(f"child {i}"))

    await outcome("group", body())


@scenario
async def children_fail_in_cleanup():
    async def child(text):
        try:
            await asyncio.sleep(3600)
        finally:
            raise KeyError(text)

    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(child("a"))
            tg.create_task(child("b"))
            tg.create_task(fails("first", 1))

    try:
        await body()
    except ExceptionGroup as group:  # siblings are cancelled in the order of a set
        emit(group.exceptions[0], sorted(str(exc) for exc in group.exceptions[1:]))


@scenario
async def body_fails():
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(forever("child"))
            await asyncio.sleep(0)
            raise KeyError("body")

    await outcome("group", body())


@scenario
async def body_and_child_fail():
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(fails("child"))
            try:
                await asyncio.sleep(3600)
            finally:
                raise KeyError("body")

    await outcome("group", body())


@scenario
async def body_is_cancelled_when_a_child_fails():
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(fails("child"))
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError as exc:
                emit("body", list(exc.args), asyncio.current_task().cancelling())
                raise

    await outcome("group", body())
    emit(asyncio.current_task().cancelling())


@scenario
async def parent_cancelled():
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(forever("child"))

    task = asyncio.create_task(body())
    await spin(2)
    task.cancel("parent")
    await outcome("group", task)
    emit(task.cancelled(), task.cancelling())


@scenario
async def parent_cancelled_and_child_fails():
    async def child():
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("in cleanup")

    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(child())
            await asyncio.sleep(3600)

    task = asyncio.create_task(body())
    await spin(2)
    task.cancel("parent")
    await outcome("group", task)
    emit(task.cancelled(), task.cancelling())


@scenario
async def child_cancelled_alone():
    async with asyncio.TaskGroup() as tg:
        child = tg.create_task(forever("child"))
        other = tg.create_task(value("other", 3))
        await asyncio.sleep(0)
        child.cancel("alone")
    emit(child.cancelled(), other.result())


@scenario
async def child_raises_cancelled():
    async with asyncio.TaskGroup() as tg:
        child = tg.create_task(fails("by hand", kind=asyncio.CancelledError))
    emit(child.cancelled())


@scenario
async def nested():
    async def body():
        async with asyncio.TaskGroup() as outer:
            outer.create_task(forever("outer child"))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(fails("inner child", 1))
                inner.create_task(forever("inner sibling"))

    await outcome("nested", body())


@scenario
async def nested_outer_fails():
    async def body():
        async with asyncio.TaskGroup() as outer:
            outer.create_task(fails("outer child", 2))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(forever("inner child"))

    await outcome("nested", body())


@scenario
async def both_levels_fail():
    async def body():
        async with asyncio.TaskGroup() as outer:
            outer.create_task(fails("outer child", 1))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(fails("inner child", 1))

    await outcome("nested", body())


@scenario
async def base_exceptions():
    for kind in (SystemExit, KeyboardInterrupt):

        async def body(kind=kind):
            async with asyncio.TaskGroup() as tg:
                tg.create_task(forever("sibling"))
                raise kind("base")

        await outcome(kind.__name__, body())


@scenario
async def custom_base_exception():
    class Base(BaseException):
        pass

    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(fails("child", kind=Base))
            tg.create_task(fails("another"))

    await outcome("group", body())


@scenario
async def exception_groups_inside():
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(raises_group())

    await outcome("group", body())


async def raises_group():
    raise ExceptionGroup("inner", [ValueError("a"), KeyError("b")])


@scenario
async def misuse():
    tg = asyncio.TaskGroup()
    coro = value(1)
    attempt("create_task before entering", tg.create_task, coro)
    coro.close()
    async with tg:
        await outcome("enter twice", tg.__aenter__())
    coro = value(1)
    attempt("create_task after the end", tg.create_task, coro)
    coro.close()
    await outcome("enter again", tg.__aenter__())


@scenario
async def create_task_while_finishing():
    async with asyncio.TaskGroup() as tg:

        async def child(n):
            if n:
                tg.create_task(child(n - 1))
            emit("child", n)

        tg.create_task(child(3))


@scenario
async def create_task_while_aborting():
    async def body():
        async with asyncio.TaskGroup() as tg:

            async def child():
                try:
                    await asyncio.sleep(3600)
                finally:
                    coro = value(1)
                    attempt("create_task", tg.create_task, coro)
                    coro.close()

            tg.create_task(child())
            await asyncio.sleep(0)
            raise ValueError("abort")

    await outcome("group", body())


@scenario
async def wrong_arguments():
    async with asyncio.TaskGroup() as tg:
        attempt_type("nothing", tg.create_task)
        attempt("number", tg.create_task, 5)
        attempt("function", tg.create_task, value)


@scenario
async def names_and_repr():
    async with asyncio.TaskGroup() as tg:
        task = tg.create_task(value(1, 1), name="given")
        emit(task.get_name(), tg)
        tg.create_task(value(2))
    emit(tg)


@scenario
async def exception_chain():
    try:
        async with asyncio.TaskGroup() as tg:
            tg.create_task(fails("child"))
            await asyncio.sleep(3600)
    except ExceptionGroup as group:
        emit(chain(group), chain(group.exceptions[0]))


@scenario
def outside_of_a_task():
    def drive(coro):
        try:
            coro.send(None)
        except StopIteration as exc:
            return exc.value

    attempt("enter", lambda: drive(asyncio.TaskGroup().__aenter__()))


@scenario
async def swallowed_cancellation_in_the_body():
    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(fails("child"))
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                emit("swallowed")
            await asyncio.sleep(0)
            emit("body goes on")

    await outcome("group", body())
    emit(asyncio.current_task().cancelling())
