"""Objects in cycles with a sentinel, for the test that the collector sees through every one of asyncio's kinds.

Each function gets a sentinel, puts it into a cycle that runs through the object it is about, and drops everything.
The process prints, per function, whether the sentinel died in a collection.
"""

import asyncio
import gc
import json
import sys
import weakref

from waiting_cycles import WAITING_CASES

CASES = {}


class Sentinel:
    """Holds whatever it is given; alive as long as its cycle is."""


def case(function):
    CASES[function.__name__] = function
    return function


async def _waits(sentinel, awaitable):
    sentinel.frame_of = asyncio.current_task()
    await awaitable


# -- futures and tasks ----------------------------------------------------------


@case
async def future_callback(sentinel):
    sentinel.held = asyncio.get_running_loop().create_future()
    sentinel.held.add_done_callback(lambda fut, s=sentinel: None)


@case
async def future_several_callbacks(sentinel):
    sentinel.held = asyncio.get_running_loop().create_future()
    for _ in range(3):
        sentinel.held.add_done_callback(lambda fut, s=sentinel: None)


@case
async def future_callback_context(sentinel):
    import contextvars

    var = contextvars.ContextVar("var")
    ctx = contextvars.Context()
    ctx.run(var.set, sentinel)
    sentinel.held = asyncio.get_running_loop().create_future()
    sentinel.held.add_done_callback(print, context=ctx)


@case
async def future_result(sentinel):
    sentinel.held = asyncio.get_running_loop().create_future()
    sentinel.held.set_result(sentinel)


@case
async def future_exception(sentinel):
    error = ValueError("x")
    error.sentinel = sentinel
    sentinel.held = asyncio.get_running_loop().create_future()
    sentinel.held.set_exception(error)
    sentinel.held.exception()


@case
async def future_cancel_message(sentinel):
    sentinel.held = asyncio.get_running_loop().create_future()
    sentinel.held.cancel(sentinel)


@case
async def future_attribute(sentinel):
    class Mine(asyncio.Future):
        pass

    sentinel.held = Mine()
    sentinel.held.sentinel = sentinel


@case
async def future_iterator(sentinel):
    fut = asyncio.get_running_loop().create_future()
    fut.add_done_callback(lambda fut, s=sentinel: None)
    sentinel.held = fut.__await__()
    sentinel.held.send(None)


@case
async def task_pending(sentinel):
    fut = asyncio.get_running_loop().create_future()
    sentinel.future = fut
    sentinel.held = asyncio.create_task(_waits(sentinel, fut))
    sentinel.held._log_destroy_pending = False
    await asyncio.sleep(0)


@case
async def task_finished(sentinel):
    async def work():
        return sentinel

    sentinel.held = asyncio.create_task(work())
    await sentinel.held


@case
async def task_failed(sentinel):
    async def work():
        raise ValueError(sentinel)

    sentinel.held = asyncio.create_task(work())
    await asyncio.wait([sentinel.held])
    sentinel.held.exception()


@case
async def task_cancelled(sentinel):
    sentinel.held = asyncio.create_task(_waits(sentinel, asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    sentinel.held.cancel(sentinel)
    await asyncio.wait([sentinel.held])


@case
async def task_callback(sentinel):
    sentinel.held = asyncio.create_task(asyncio.sleep(0))
    sentinel.held.add_done_callback(lambda task, s=sentinel: None)
    await sentinel.held


@case
async def task_name_and_context(sentinel):
    import contextvars

    var = contextvars.ContextVar("var")
    ctx = contextvars.Context()
    ctx.run(var.set, sentinel)
    sentinel.held = asyncio.create_task(asyncio.sleep(0), context=ctx)
    await sentinel.held


# -- handles --------------------------------------------------------------------


@case
async def handle_run(sentinel):
    sentinel.held = asyncio.get_running_loop().call_soon(lambda s: None, sentinel)
    await asyncio.sleep(0)


@case
async def handle_cancelled(sentinel):
    sentinel.held = asyncio.get_running_loop().call_soon(lambda s: None, sentinel)
    sentinel.held.cancel()
    await asyncio.sleep(0)


@case
async def handle_of_a_closed_loop(sentinel):
    loop = asyncio.new_event_loop()
    sentinel.held = loop.call_soon(lambda s: None, sentinel)
    loop.close()


@case
async def timer_run(sentinel):
    sentinel.held = asyncio.get_running_loop().call_later(0, lambda s: None, sentinel)
    for _ in range(3):
        await asyncio.sleep(0)


@case
async def timer_cancelled(sentinel):
    sentinel.held = asyncio.get_running_loop().call_later(3600, lambda s: None, sentinel)
    sentinel.held.cancel()
    await asyncio.sleep(0)


@case
async def timer_of_a_closed_loop(sentinel):
    loop = asyncio.new_event_loop()
    sentinel.held = loop.call_later(3600, lambda s: None, sentinel)
    loop.close()


# -- combinations ---------------------------------------------------------------


@case
async def gather_pending(sentinel):
    sentinel.held = asyncio.gather(asyncio.get_running_loop().create_future())
    sentinel.held.add_done_callback(lambda fut, s=sentinel: None)


@case
async def gather_done(sentinel):
    async def work():
        return sentinel

    sentinel.held = asyncio.gather(work(), work())
    await sentinel.held


@case
async def shield_pending(sentinel):
    fut = asyncio.get_running_loop().create_future()
    sentinel.held = asyncio.shield(fut)
    sentinel.held.add_done_callback(lambda fut, s=sentinel: None)


@case
async def task_group_failed(sentinel):
    async def work():
        raise ValueError(sentinel)

    try:
        async with asyncio.TaskGroup() as tg:
            sentinel.task = tg.create_task(work())
            sentinel.group = tg
    except ExceptionGroup as group:
        sentinel.held = group


@case
async def timeout_expired(sentinel):
    try:
        async with asyncio.timeout(0) as sentinel.held:
            await asyncio.sleep(3600)
    except TimeoutError as exc:
        sentinel.exception = exc


@case
async def wait_for_coroutine(sentinel):
    async def work():
        return sentinel

    sentinel.held = asyncio.wait_for(work(), 5)
    sentinel.inner = work()
    sentinel.held.close()
    sentinel.inner.close()


# -- synchronisation and streams ------------------------------------------------


@case
async def queue(sentinel):
    sentinel.held = asyncio.Queue()
    sentinel.held.put_nowait(sentinel)


@case
async def queue_getter(sentinel):
    queue = asyncio.Queue()
    sentinel.queue = queue
    sentinel.held = asyncio.create_task(_waits(sentinel, queue.get()))
    sentinel.held._log_destroy_pending = False
    await asyncio.sleep(0)


@case
async def lock_waiter(sentinel):
    lock = asyncio.Lock()
    await lock.acquire()
    sentinel.lock = lock
    sentinel.held = asyncio.create_task(_waits(sentinel, lock.acquire()))
    sentinel.held._log_destroy_pending = False
    await asyncio.sleep(0)


@case
async def event_waiter(sentinel):
    event = asyncio.Event()
    sentinel.event = event
    sentinel.held = asyncio.create_task(_waits(sentinel, event.wait()))
    sentinel.held._log_destroy_pending = False
    await asyncio.sleep(0)


@case
async def stream_reader(sentinel):
    reader = asyncio.StreamReader()
    sentinel.reader = reader
    sentinel.held = asyncio.create_task(_waits(sentinel, reader.readline()))
    sentinel.held._log_destroy_pending = False
    await asyncio.sleep(0)


@case
async def protocol_of_a_closed_transport(sentinel):
    import socket

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            self.sentinel = sentinel

    a, b = socket.socketpair()
    transport, sentinel.held = await asyncio.get_running_loop().create_connection(Protocol, sock=a)
    transport.close()
    b.close()
    for _ in range(3):
        await asyncio.sleep(0)


@case
async def stream_of_a_closed_connection(sentinel):
    import socket

    a, b = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=a)
    sentinel.held = writer
    sentinel.reader = reader
    writer.transport.get_protocol().sentinel = sentinel
    writer.close()
    await writer.wait_closed()
    b.close()


# -- loops ----------------------------------------------------------------------


@case
async def loop_attributes(sentinel):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context, s=sentinel: None)
    loop.set_task_factory(lambda loop, coro, s=sentinel, **kwargs: asyncio.Task(coro, loop=loop, **kwargs))
    sentinel.held = loop
    loop.close()


@case
async def loop_with_work_left(sentinel):
    loop = asyncio.new_event_loop()
    sentinel.held = loop
    loop.call_soon(lambda s: None, sentinel)
    loop.call_later(3600, lambda s: None, sentinel)
    loop.close()


@case
async def attributes(sentinel):
    """Of objects whose `__dict__` is a field of ours."""
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    sentinel.held = [
        asyncio.timeout(None),
        asyncio.TaskGroup(),
        asyncio.Runner(),
        asyncio.as_completed([done]),
        asyncio.Lock(),
        asyncio.Queue(),
    ]
    for held in sentinel.held:
        held.note = sentinel


@case
async def timeout_subclass(sentinel):
    class Mine(asyncio.Timeout):
        def _on_timeout(self):
            self.note = sentinel

    sentinel.held = Mine(asyncio.get_running_loop().time() + 60)
    async with sentinel.held as timeout:
        timeout.note = sentinel


@case
async def group_attributes(sentinel):
    """`_tasks` and `_errors`, which are native until somebody asks for them."""
    group = sentinel.held = asyncio.TaskGroup()
    async with group:
        group._tasks.add(sentinel)
        group._tasks.discard(sentinel)
    group._errors.append(sentinel)
    group._tasks.add(sentinel)


@case
async def runner(sentinel):
    sentinel.held = asyncio.Runner(loop_factory=lambda s=sentinel: asyncio.new_event_loop())


def main():
    for name, function in (CASES | WAITING_CASES).items():
        with asyncio.Runner() as runner:
            sentinel = Sentinel()
            alive = weakref.ref(sentinel)
            gc.collect()
            gc.disable()
            runner.run(function(sentinel))
            del sentinel
            # The running loop still goes, so nothing is dead only because everything is.
            runner.run(asyncio.sleep(0))
            gc.enable()
            for _ in range(3):
                gc.collect()
            print(json.dumps([name, alive() is None]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
