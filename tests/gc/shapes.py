"""What the leak tests make and drop: one function per kind of object and way of dying.

Each is an ``async def`` that makes and drops *count* of its kind and leaves nothing behind by asyncio's own rules, so
whatever stays is a leak.  What makes real connections is in connections.py.
"""

import asyncio
import contextlib

SHAPES = {}


def shape(function):
    SHAPES[function.__name__] = function
    return function


class Holder:
    """An object whose bound method is a callback and which holds what it was handed to: a cycle."""

    held = None

    def callback(self, *args):
        pass


async def _value(x):
    return x


async def _raises():
    raise ValueError("dropped with its traceback")


async def _forever():
    await asyncio.get_running_loop().create_future()


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


def batches(count, size=100):
    return [min(size, count - start) for start in range(0, count, size)]


# -- futures --------------------------------------------------------------------


@shape
async def futures(count):
    loop = asyncio.get_running_loop()
    for i in range(count):
        fut = loop.create_future()
        fut.set_result(i)
        await fut


@shape
async def futures_pending(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        loop.create_future().add_done_callback(print)


@shape
async def futures_with_exceptions(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        fut = loop.create_future()
        fut.set_exception(ValueError("x"))
        with contextlib.suppress(ValueError):
            await fut


@shape
async def futures_cancelled(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        fut = loop.create_future()
        fut.cancel("message")
        with contextlib.suppress(asyncio.CancelledError):
            await fut


@shape
async def future_cycles_through_a_callback(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        holder = Holder()
        holder.held = loop.create_future()
        holder.held.add_done_callback(holder.callback)


@shape
async def future_cycles_through_the_result(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        fut = loop.create_future()
        fut.set_result([fut])


@shape
async def future_cycles_through_the_exception(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        fut = loop.create_future()
        fut.set_exception(ValueError("x"))
        try:
            await fut
        except ValueError as exc:
            exc.future = fut


@shape
async def futures_awaited_and_thrown_into(count):
    loop = asyncio.get_running_loop()
    for _ in range(count):
        it = loop.create_future().__await__()
        it.send(None)
        with contextlib.suppress(KeyError):
            it.throw(KeyError("x"))


# -- handles --------------------------------------------------------------------


@shape
async def handles_run(count):
    loop = asyncio.get_running_loop()
    for size in batches(count):
        for _ in range(size):
            holder = Holder()
            holder.held = loop.call_soon(holder.callback, holder)
        await asyncio.sleep(0)


@shape
async def handles_cancelled(count):
    loop = asyncio.get_running_loop()
    for size in batches(count):
        for _ in range(size):
            holder = Holder()
            holder.held = loop.call_soon(holder.callback, holder)
            holder.held.cancel()
        await asyncio.sleep(0)


@shape
async def handles_of_closed_loops(count):
    for size in batches(count, 1000):
        loop = asyncio.new_event_loop()
        for _ in range(size):
            holder = Holder()
            holder.held = loop.call_soon(holder.callback, holder)
        loop.close()


@shape
async def handles_that_fail(count):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    for size in batches(count):
        for _ in range(size):
            loop.call_soon(int, "not a number")
        await asyncio.sleep(0)
    loop.set_exception_handler(None)


@shape
async def handles_threadsafe(count):
    loop = asyncio.get_running_loop()
    for size in batches(count):
        for _ in range(size):
            holder = Holder()
            holder.held = loop.call_soon_threadsafe(holder.callback)
        await asyncio.sleep(0)


@shape
async def timers_run(count):
    loop = asyncio.get_running_loop()
    for size in batches(count):
        for _ in range(size):
            holder = Holder()
            holder.held = loop.call_at(0, holder.callback, holder)
        await turns()


@shape
async def timers_cancelled(count):
    loop = asyncio.get_running_loop()
    for size in batches(count, 1000):
        for _ in range(size):
            holder = Holder()
            holder.held = loop.call_later(3600, holder.callback, holder)
            holder.held.cancel()
        await asyncio.sleep(0)


@shape
async def timers_of_closed_loops(count):
    for size in batches(count, 1000):
        loop = asyncio.new_event_loop()
        for _ in range(size):
            holder = Holder()
            holder.held = loop.call_later(3600, holder.callback, holder)
        loop.close()


# -- tasks ----------------------------------------------------------------------


@shape
async def tasks(count):
    for size in batches(count):
        for _ in range(size):
            asyncio.create_task(_value(1))
        await turns(2)


@shape
async def tasks_awaited(count):
    for i in range(count):
        await asyncio.create_task(_value(i))


@shape
async def tasks_with_exceptions(count):
    for _ in range(count):
        with contextlib.suppress(ValueError):
            await asyncio.create_task(_raises())


@shape
async def tasks_cancelled_before_start(count):
    for _ in range(count):
        task = asyncio.create_task(_forever())
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@shape
async def tasks_cancelled_while_waiting(count):
    for size in batches(count):
        batch = [asyncio.create_task(_forever()) for _ in range(size)]
        await asyncio.sleep(0)
        for task in batch:
            task.cancel("message")
        await asyncio.wait(batch)


@shape
async def task_cycles_through_the_frame(count):
    async def holds_itself():
        me = asyncio.current_task()
        await asyncio.sleep(0)
        return me

    for size in batches(count):
        for _ in range(size):
            asyncio.create_task(holds_itself())
        await turns()


@shape
async def task_cycles_through_the_exception(count):
    async def fails_holding_itself():
        me = asyncio.current_task()
        raise ValueError(me)

    for size in batches(count):
        batch = [asyncio.create_task(fails_holding_itself()) for _ in range(size)]
        for task in batch:
            with contextlib.suppress(ValueError):
                await task


@shape
async def tasks_pending_in_cycles(count):
    async def waits(box):
        await box.held

    for size in batches(count):
        for _ in range(size):
            box = Holder()
            box.held = asyncio.get_running_loop().create_future()
            box.task = asyncio.create_task(waits(box))
            box.task._log_destroy_pending = False
        del box
        await asyncio.sleep(0)


@shape
async def task_callbacks_and_contexts(count):
    for size in batches(count):
        for _ in range(size):
            holder = Holder()
            holder.held = asyncio.create_task(_value(holder), name="named")
            holder.held.add_done_callback(holder.callback)
        await turns()


# -- combinations ---------------------------------------------------------------


@shape
async def sleeps(count):
    for size in batches(count):
        for _ in range(size // 2):
            await asyncio.sleep(0)
        await asyncio.gather(*(asyncio.sleep(1e-6) for _ in range(size // 2)))


@shape
async def gathers(count):
    for _ in range(count // 4):
        await asyncio.gather(_value(1), _value(2), _value(3))


@shape
async def gathers_that_fail(count):
    for _ in range(count // 4):
        with contextlib.suppress(ValueError):
            await asyncio.gather(_value(1), _raises())
        await asyncio.gather(_raises(), return_exceptions=True)


@shape
async def gathers_cancelled(count):
    for _ in range(count // 4):
        gathered = asyncio.gather(_forever(), _forever())
        await asyncio.sleep(0)
        gathered.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gathered


@shape
async def waits(count):
    for _ in range(count // 4):
        batch = [asyncio.create_task(_value(i)) for i in range(3)]
        await asyncio.wait(batch, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(batch)


@shape
async def waits_for(count):
    for i in range(count // 2):
        await asyncio.wait_for(_value(i), 3600)


@shape
async def waits_for_too_long(count):
    for size in batches(count // 2):
        await asyncio.gather(
            *(asyncio.wait_for(_forever(), 1e-6) for _ in range(size)), return_exceptions=True
        )


@shape
async def timeouts(count):
    for _ in range(count // 2):
        async with asyncio.timeout(3600):
            await asyncio.sleep(0)


@shape
async def timeouts_expired(count):
    async def expires():
        async with asyncio.timeout(1e-6):
            await _forever()

    for size in batches(count // 2):
        await asyncio.gather(*(expires() for _ in range(size)), return_exceptions=True)


@shape
async def shields(count):
    for _ in range(count // 2):
        outer = asyncio.shield(_value(1))
        outer.cancel()
        await turns(2)


@shape
async def as_completed(count):
    for _ in range(count // 4):
        for coro in asyncio.as_completed([_value(1), _value(2)]):
            await coro


@shape
async def task_groups(count):
    for _ in range(count // 4):
        async with asyncio.TaskGroup() as tg:
            tg.create_task(_value(1))
            tg.create_task(_value(2))


@shape
async def task_groups_that_fail(count):
    for _ in range(count // 4):
        try:
            async with asyncio.TaskGroup() as tg:
                tg.create_task(_raises())
                tg.create_task(_forever())
        except ExceptionGroup as group:
            group.group = group


# -- synchronisation ------------------------------------------------------------


@shape
async def queues(count):
    queue = asyncio.Queue(10)

    async def produce():
        for i in range(count // 2):
            await queue.put(i)

    async def consume():
        for _ in range(count // 2):
            await queue.get()
            queue.task_done()

    await asyncio.gather(produce(), consume())


@shape
async def queues_dropped(count):
    for size in batches(count // 4):
        getters = []
        for _ in range(size):
            queue = asyncio.Queue()
            queue.put_nowait(queue)
            getters.append(asyncio.create_task(asyncio.Queue().get()))
        await asyncio.sleep(0)
        for getter in getters:
            getter.cancel()
        await asyncio.wait(getters)


@shape
async def locks(count):
    lock, sem, event = asyncio.Lock(), asyncio.Semaphore(1), asyncio.Event()
    event.set()

    async def contend():
        async with lock, sem:
            await event.wait()
            await asyncio.sleep(0)

    for size in batches(count // 4):
        await asyncio.gather(*(contend() for _ in range(size)))


@shape
async def conditions(count):
    cond = asyncio.Condition()

    async def wait():
        async with cond:
            await cond.wait()

    for size in batches(count // 4):
        batch = [asyncio.create_task(wait()) for _ in range(size)]
        await turns(2)
        async with cond:
            cond.notify_all()
        await asyncio.gather(*batch)


# -- coroutines and loops -------------------------------------------------------


@shape
async def library_coroutines_closed(count):
    queue, lock, event = asyncio.Queue(), asyncio.Lock(), asyncio.Event()
    for _ in range(count // 4):
        for coro in (queue.get(), lock.acquire(), event.wait(), asyncio.sleep(1)):
            if coro is not None:
                coro.close()


@shape
async def library_coroutines_closed_half_way(count):
    queue, event = asyncio.Queue(), asyncio.Event()
    for _ in range(count // 4):
        for coro in (queue.get(), event.wait()):
            coro.send(None)
            coro.close()


@shape
async def async_generators(count):
    async def gen():
        yield 1
        yield 2

    for size in batches(count // 4):
        for _ in range(size):
            async for _ in gen():
                break
        await turns()


@shape
async def loops(count):
    for _ in range(count // 200):
        loop = asyncio.new_event_loop()
        loop.call_soon(loop.stop)
        asyncio.Future(loop=loop).add_done_callback(print)
        loop.close()
