"""asyncio.timeout and timeout_at: expiry, rescheduling, nesting, misuse."""

import asyncio
import weakref

from observe import attempt, chain, emit, outcome, scenario, spin


@scenario
async def in_time():
    async with asyncio.timeout(60) as cm:
        emit(cm.expired(), cm)
        await asyncio.sleep(0)
    emit(cm.expired(), cm, asyncio.current_task().cancelling())


@scenario
async def too_late():
    try:
        async with asyncio.timeout(0.001) as cm:
            await asyncio.sleep(3600)
    except TimeoutError as exc:
        emit(exc, chain(exc), cm.expired(), cm)
    emit(asyncio.current_task().cancelling())


@scenario
async def zero_and_negative():
    for delay in (0, -1):
        try:
            async with asyncio.timeout(delay) as cm:
                emit("body starts")
                await asyncio.sleep(0)
                emit("after one turn")
                await asyncio.sleep(3600)
        except TimeoutError:
            emit("timeout", cm.expired())


@scenario
async def zero_without_await():
    async with asyncio.timeout(0) as cm:
        emit("body")
    emit(cm.expired())
    await spin(2)
    emit(asyncio.current_task().cancelling())


@scenario
async def ends_with_its_block():
    """Nothing holds on to what `async with` gave, not even until the step is over."""

    class Witness:
        def __del__(self):
            emit("freed")

    async with asyncio.timeout(60) as cm:
        cm.witness = Witness()
        alive = weakref.ref(cm)
        emit(alive() is cm)
    del cm
    emit(alive())
    async with asyncio.timeout(60) as outer, asyncio.timeout(30) as inner:
        alive = weakref.ref(outer), weakref.ref(inner)
        del outer, inner
        emit([each() is None for each in alive])
    emit([each() is None for each in alive])
    by_hand = asyncio.timeout(60)
    entering = by_hand.__aenter__()
    try:
        entering.send(None)
    except StopIteration as exc:
        emit(exc.value is by_hand, exc.args == (by_hand,))
    await by_hand.__aexit__(None, None, None)


@scenario
async def none():
    async with asyncio.timeout(None) as cm:
        emit(cm.when(), cm)
        await asyncio.sleep(0)
    async with asyncio.timeout_at(None) as cm:
        emit(cm.when())


@scenario
async def at():
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 0.001
    try:
        async with asyncio.timeout_at(deadline) as cm:
            emit(cm.when() == deadline)
            await asyncio.sleep(3600)
    except TimeoutError:
        emit("timeout", cm.expired())


@scenario
async def reschedule():
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(0.001) as cm:
        cm.reschedule(None)
        await asyncio.sleep(0.01)  # a timer due later than the timeout was
        cm.reschedule(loop.time() + 60)
        await asyncio.sleep(0)
    emit(cm.expired())
    attempt("after exit", cm.reschedule, None)
    fresh = asyncio.timeout(1)
    attempt("before entering", fresh.reschedule, None)
    try:
        async with asyncio.timeout(None) as cm:
            cm.reschedule(loop.time() - 1)
            await asyncio.sleep(3600)
    except TimeoutError:
        emit("rescheduled into the past")


@scenario
async def reschedule_while_expiring():
    try:
        async with asyncio.timeout(0.001) as cm:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                attempt("expiring", cm.reschedule, None)
                emit(cm)
                raise
    except TimeoutError:
        emit(cm)


@scenario
async def entered_twice():
    async def again(cm):
        async with cm:
            emit("not reached")

    cm = asyncio.timeout(60)
    async with cm:
        await outcome("inside", again(cm))
    await outcome("after exit", again(cm))


@scenario
def outside_of_a_task():
    attempt("construct", lambda: repr(asyncio.Timeout(None)))

    def drive(coro):
        try:
            coro.send(None)
        except StopIteration as exc:
            return exc.value

    attempt("enter", lambda: drive(asyncio.Timeout(None).__aenter__()))
    loop = asyncio.new_event_loop()

    def callback():
        attempt("enter in a callback", lambda: drive(asyncio.timeout(1).__aenter__()))
        loop.stop()

    loop.call_soon(callback)
    loop.run_forever()
    loop.close()


@scenario
async def exit_without_enter():
    cm = asyncio.timeout(1)
    await outcome("exit", cm.__aexit__(None, None, None))


@scenario
async def nested_inner_first():
    try:
        async with asyncio.timeout(60) as outer:
            try:
                async with asyncio.timeout(0.001) as inner:
                    await asyncio.sleep(3600)
            except TimeoutError:
                emit("inner", inner.expired(), outer.expired())
            await asyncio.sleep(0)
            emit("outer body goes on")
    except TimeoutError:
        emit("not reached")


@scenario
async def nested_outer_first():
    try:
        async with asyncio.timeout(0.001) as outer:
            try:
                async with asyncio.timeout(60) as inner:
                    await asyncio.sleep(3600)
            except TimeoutError:
                emit("not reached")
            except asyncio.CancelledError:
                emit("inner sees cancellation", inner.expired(), outer.expired())
                raise
    except TimeoutError:
        emit("outer", outer.expired(), inner.expired())


@scenario
async def both_at_once():
    deadline = asyncio.get_running_loop().time() - 1
    try:
        async with asyncio.timeout_at(deadline) as outer:
            try:
                async with asyncio.timeout_at(deadline) as inner:
                    await asyncio.sleep(3600)
            except TimeoutError:
                emit("inner", outer.expired(), inner.expired())
                raise
    except TimeoutError:
        emit("outer", outer.expired(), inner.expired(), asyncio.current_task().cancelling())


@scenario
async def cancelled_from_outside():
    async def body():
        async with asyncio.timeout(60):
            await asyncio.sleep(3600)

    task = asyncio.create_task(body())
    await spin()
    task.cancel("outside")
    await outcome("task", task)
    emit(task.cancelled(), task.cancelling())


@scenario
async def cancelled_and_expired():
    async def body():
        async with asyncio.timeout(0.001):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                asyncio.current_task().cancel("also from outside")
                raise

    task = asyncio.create_task(body())
    await outcome("task", task)
    emit(task.cancelled(), task.cancelling())


@scenario
async def other_exception_in_the_body():
    async def body():
        async with asyncio.timeout(0.001):
            try:
                await asyncio.sleep(3600)
            finally:
                raise KeyError("other")

    await outcome("body", body())
    emit(asyncio.current_task().cancelling())


@scenario
async def exception_before_expiry():
    async def body():
        async with asyncio.timeout(60):
            raise KeyError("early")

    await outcome("body", body())


@scenario
async def swallowed():
    async with asyncio.timeout(0.001) as cm:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit("swallowed")
    emit(cm.expired(), asyncio.current_task().cancelling())


@scenario
async def wrong_arguments():
    attempt("text", lambda: asyncio.timeout("1"))
    attempt("timeout_at text", lambda: asyncio.timeout_at("1"))
    attempt("nothing", lambda: type(asyncio.timeout(1)))


@scenario
async def group_and_timeout():
    try:
        async with asyncio.timeout(0.001):
            async with asyncio.TaskGroup() as tg:
                tg.create_task(asyncio.sleep(3600))
                await asyncio.sleep(3600)
    except TimeoutError as exc:
        emit(exc, asyncio.current_task().cancelling())
