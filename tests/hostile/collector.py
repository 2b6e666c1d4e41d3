"""What Python code sees that runs in the middle of a collection: only what is alive."""

import asyncio
import contextvars
import gc
import weakref

from survival import program

VARIABLE = contextvars.ContextVar("variable")


class WithFinalizer(asyncio.Task):
    def __del__(self):
        """In the place of asyncio's own."""


class WithoutFinalizer(asyncio.Task):
    pass


async def waits(fut):
    await fut


def ask_while_collecting(task_class):
    """A cycle with a pending task in it is collected; a weak reference's callback asks for all tasks meanwhile."""
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    got = []

    def ask(_reference):
        got.extend(asyncio.all_tasks(loop))

    def make():
        context = contextvars.Context()
        fut = loop.create_future()
        context.run(VARIABLE.set, fut)
        task = task_class(waits(fut), loop=loop, context=context)
        task._log_destroy_pending = False
        loop._run_once()
        # Handles are not tracked by the collector: the callback runs where the last reference goes, in the middle of
        # the taking apart.
        handle = loop.call_later(1000, print)
        handle.cancel()
        fut.held = [task, handle]
        return weakref.ref(handle, ask), weakref.ref(task)

    reference, task = make()
    gc.collect()
    for found in got:
        assert repr(found) and len(found.get_context()) == 1, found
        assert found.cancel()
    asyncio._set_running_loop(None)
    del got[:]
    gc.collect()
    assert task() is None
    loop.close()
    return "done"


@program()
def all_tasks_of_tasks():
    return ask_while_collecting(asyncio.Task)


@program()
def all_tasks_of_tasks_with_a_finalizer():
    return ask_while_collecting(WithFinalizer)


@program()
def all_tasks_of_tasks_of_a_subclass():
    return ask_while_collecting(WithoutFinalizer)


@program()
def all_tasks_in_a_finalizer_of_the_garbage():
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    seen = []

    class Asks:
        def __del__(self):
            seen.append([repr(task) for task in asyncio.all_tasks(loop)])

    for task_class in (asyncio.Task, WithFinalizer, WithoutFinalizer) * 3:
        fut = loop.create_future()
        task = task_class(waits(fut), loop=loop)
        task._log_destroy_pending = False
        fut.held = [task, Asks()]
    loop._run_once()
    del fut, task
    gc.collect()
    assert len(seen) == 9
    assert not asyncio.all_tasks(loop)
    asyncio._set_running_loop(None)
    loop.close()
    return "done"
