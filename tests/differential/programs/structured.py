"""Timeouts, groups and cancellation together; cancelling() has to come out even."""

import asyncio

from observe import emit, outcome, scenario, spin


@scenario
async def timeout_around_a_group():
    async def child():
        try:
            await asyncio.sleep(3600)
        finally:
            emit("child ends")

    try:
        async with asyncio.timeout(0.001):
            async with asyncio.TaskGroup() as tg:
                tg.create_task(child())
    except TimeoutError:
        emit("timeout", asyncio.current_task().cancelling())


@scenario(since=(3, 13))
async def timeout_inside_a_group():
    async def child():
        async with asyncio.timeout(0.001):
            await asyncio.sleep(3600)

    async def body():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(child())
            tg.create_task(asyncio.sleep(3600))

    await outcome("group", body())
    emit(asyncio.current_task().cancelling())


@scenario
async def outer_cancellation_beats_the_inner_timeout():
    async def body():
        try:
            async with asyncio.timeout(0.001):
                try:
                    await asyncio.sleep(3600)
                finally:
                    asyncio.current_task().cancel("outer")
                    await asyncio.sleep(0)
        except TimeoutError:
            emit("swallowed the outer cancellation")

    task = asyncio.create_task(body())
    await outcome("task", task)
    emit(task.cancelling())


@scenario
async def group_swallows_its_own_cancellation_only():
    async def body():
        try:
            async with asyncio.TaskGroup() as tg:
                tg.create_task(fails())
                await asyncio.sleep(3600)
        except* ValueError as group:
            emit("caught", list(group.exceptions))
        emit(asyncio.current_task().cancelling())
        await asyncio.sleep(0)
        return "goes on"

    emit(await asyncio.create_task(body()))


async def fails():
    raise ValueError("child")


@scenario
async def except_star():
    async def raises(kind):
        raise kind(kind.__name__)

    try:
        async with asyncio.TaskGroup() as tg:
            for kind in (ValueError, KeyError, OSError):
                tg.create_task(raises(kind))
    except* (ValueError, OSError) as group:
        emit("first", [type(exc) for exc in group.exceptions])
    except* KeyError as group:
        emit("second", [type(exc) for exc in group.exceptions])


@scenario
async def wait_for_inside_timeout():
    try:
        async with asyncio.timeout(60):
            await asyncio.wait_for(asyncio.sleep(3600), 0.001)
    except TimeoutError:
        emit("inner", asyncio.current_task().cancelling())
    try:
        async with asyncio.timeout(0.001):
            await asyncio.wait_for(asyncio.sleep(3600), 60)
    except TimeoutError:
        emit("outer", asyncio.current_task().cancelling())


@scenario
async def cancelled_before_entering():
    async def body():
        asyncio.current_task().cancel("before")
        async with asyncio.timeout(60):
            emit("inside")
            await asyncio.sleep(0)
            emit("not reached")

    await outcome("body", asyncio.create_task(body()))

    async def group_body():
        asyncio.current_task().cancel("before")
        async with asyncio.TaskGroup() as tg:
            tg.create_task(asyncio.sleep(3600))

    await outcome("group", asyncio.create_task(group_body()))


@scenario(since=(3, 13))
async def group_keeps_an_outer_cancellation_that_came_with_the_error():
    async def child():
        await asyncio.sleep(0)
        parent.cancel("outer")
        raise ValueError("child")

    async def body():
        try:
            async with asyncio.TaskGroup() as tg:
                tg.create_task(child())
        except* ValueError:
            emit("caught the error", asyncio.current_task().cancelling())
        await asyncio.sleep(0)
        emit("not reached")

    parent = asyncio.create_task(body())
    await outcome("parent", parent)


@scenario
async def locks_and_cancellation_in_groups():
    lock = asyncio.Lock()
    order = []

    async def child(i):
        async with lock:
            order.append(i)
            await asyncio.sleep(0)
            if i == 1:
                raise ValueError("child 1")

    async def body():
        async with asyncio.TaskGroup() as tg:
            for i in range(4):
                tg.create_task(child(i))

    await outcome("group", body())
    emit(order, lock.locked())
    await spin()
