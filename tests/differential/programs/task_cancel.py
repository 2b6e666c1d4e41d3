"""Cancelling tasks: before the start, during, swallowed, uncancelled, twice, with messages."""

import asyncio

from observe import attempt, chain, emit, outcome, scenario, spin


async def forever(label="forever"):
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError as exc:
        emit(label, "cancelled", list(exc.args))
        raise


@scenario
async def before_it_starts():
    task = asyncio.create_task(forever())
    emit(task.cancel("early"), task.cancelling(), task.cancelled(), task.done())
    await outcome("task", task)
    emit(task.cancelled(), task.done(), task.cancelling(), task)
    emit(task.cancel())


@scenario
async def while_waiting():
    task = asyncio.create_task(forever())
    await spin()
    emit(task.cancel("message"), task)
    await outcome("task", task)
    attempt("result", task.result)
    attempt("exception", task.exception)


@scenario
async def messages():
    for args in ((), (None,), ("text",), (("tuple",),)):
        task = asyncio.create_task(forever())
        await spin()
        task.cancel(*args)
        try:
            await task
        except asyncio.CancelledError as exc:
            emit("outside", list(exc.args))


@scenario
async def twice_before_it_is_delivered():
    task = asyncio.create_task(forever())
    await spin()
    emit(task.cancel("one"), task.cancel("two"), task.cancelling())
    await outcome("task", task)
    emit(task.cancelling())


@scenario
async def swallowed():
    async def child():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit("swallowed", asyncio.current_task().cancelling())
        await asyncio.sleep(0)
        return "went on"

    task = asyncio.create_task(child())
    await spin()
    task.cancel()
    await outcome("task", task)
    emit(task.cancelled(), task.cancelling(), task)


@scenario
async def uncancel():
    async def child():
        me = asyncio.current_task()
        emit(me.cancelling(), me.uncancel())
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit(me.cancelling(), me.uncancel(), me.uncancel())
        await asyncio.sleep(0)
        return "finished"

    task = asyncio.create_task(child())
    await spin()
    task.cancel()
    emit(task.cancelling())
    emit(await task)


@scenario(
    differs="`uncancel()` takes back a cancellation that was not delivered yet, as since 3.13.",
    differs_in=[(3, 11), (3, 12)],
    expected=[
        ["event", 0],
        ["event", "before start", "returned", "survived"],
    ],
)
async def uncancel_before_delivery():
    async def child():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "survived"

    task = asyncio.create_task(child())
    task.cancel()
    emit(task.uncancel())
    await outcome("before start", task)


@scenario
async def cancels_itself():
    async def child():
        emit(asyncio.current_task().cancel("self"))
        emit("still running")
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as exc:
            emit("delivered at the next await", list(exc.args))
            raise

    await outcome("child", asyncio.create_task(child()))


@scenario
async def cancels_itself_and_returns():
    async def child():
        asyncio.current_task().cancel("last words")
        return "result"

    task = asyncio.create_task(child())
    await outcome("child", task)
    emit(task.cancelled(), task)


@scenario
async def cancels_itself_and_raises():
    async def child():
        asyncio.current_task().cancel()
        raise ValueError("instead")

    await outcome("child", asyncio.create_task(child()))


@scenario
async def nested_tasks():
    inner = asyncio.create_task(forever("inner"))

    async def outer():
        try:
            await inner
        except asyncio.CancelledError as exc:
            emit("outer", list(exc.args))
            raise

    task = asyncio.create_task(outer())
    await spin(2)
    task.cancel("from the top")
    await outcome("outer task", task)
    emit(inner.cancelled(), inner.cancelling(), task.cancelling())


@scenario
async def inner_cancelled_from_aside():
    inner = asyncio.create_task(forever("inner"))

    async def outer():
        await inner

    task = asyncio.create_task(outer())
    await spin(2)
    inner.cancel("aside")
    await outcome("outer task", task)
    emit(task.cancelled(), task.cancelling(), inner.cancelling())


@scenario
async def exception_during_cleanup():
    async def child():
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("in finally")

    task = asyncio.create_task(child())
    await spin()
    task.cancel("original")
    try:
        await task
    except ValueError as exc:
        emit(exc, chain(exc))


@scenario
async def await_in_cleanup():
    async def child():
        try:
            await asyncio.sleep(3600)
        finally:
            emit("cleaning")
            await asyncio.sleep(0)
            emit("cleaned")

    task = asyncio.create_task(child())
    await spin()
    task.cancel()
    await outcome("child", task)


@scenario
async def cancel_again_during_cleanup():
    async def child():
        try:
            await asyncio.sleep(3600)
        finally:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError as exc:
                emit("again", list(exc.args))
                raise

    task = asyncio.create_task(child())
    await spin()
    task.cancel("first")
    await spin()
    task.cancel("second")
    try:
        await task
    except asyncio.CancelledError as exc:
        emit(list(exc.args), chain(exc))
    emit(task.cancelling())


@scenario
async def raised_by_hand():
    async def child():
        raise asyncio.CancelledError("by hand")

    task = asyncio.create_task(child())
    await outcome("task", task)
    emit(task.cancelled(), task.cancelling())
    attempt("result", task.result)


@scenario
async def future_being_awaited_is_cancelled():
    fut = asyncio.get_running_loop().create_future()

    async def child():
        await fut

    task = asyncio.create_task(child())
    await spin()
    fut.cancel("the future")
    await outcome("task", task)
    emit(task.cancelled())


@scenario
async def race_with_result():
    fut = asyncio.get_running_loop().create_future()

    async def child():
        try:
            return await fut
        except asyncio.CancelledError:
            emit("cancelled although the future has", fut.result())
            raise

    task = asyncio.create_task(child())
    await spin()
    fut.set_result("a result")
    task.cancel()
    await outcome("task", task)


@scenario
async def cancel_returns():
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    emit(task.cancel(), task.cancelling(), task.uncancel())


@scenario
async def traceback_of_the_outer_error():
    task = asyncio.create_task(forever())
    await spin()
    task.cancel()
    for _ in range(2):
        try:
            await task
        except asyncio.CancelledError as exc:
            emit(list(exc.args), chain(exc), exc.__traceback__ is not None)
