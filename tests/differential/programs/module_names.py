"""What the package is made of: names, kinds, signatures that inspection shows."""

import asyncio
import inspect
import sys

from observe import attempt, emit, scenario


@scenario
def every_public_name():
    missing = [name for name in asyncio.__all__ if not hasattr(asyncio, name)]
    emit(missing, len(asyncio.__all__) == len(set(asyncio.__all__)))


@scenario
def kinds():
    async def coroutine():
        pass

    coro = coroutine()
    emit(asyncio.iscoroutine(coro), asyncio.iscoroutine(coroutine), asyncio.iscoroutine(5))
    coro.close()
    if sys.version_info < (3, 14):
        emit(asyncio.iscoroutinefunction(coroutine), asyncio.iscoroutinefunction(print))
    gen = (x for x in ())
    emit(asyncio.iscoroutine(gen))


@scenario
def library_coroutine_functions():
    for owner, names in (
        (
            asyncio,
            ("sleep", "wait", "wait_for", "open_connection", "start_server", "to_thread", "gather", "shield"),
        ),
        (asyncio.Queue, ("get", "put", "join", "get_nowait")),
        (asyncio.Lock, ("acquire", "release")),
        (asyncio.Event, ("wait", "set")),
        (asyncio.StreamReader, ("read", "readline", "readexactly", "readuntil", "feed_data")),
        (asyncio.StreamWriter, ("drain", "wait_closed", "write")),
    ):
        for name in names:
            emit(name, inspect.iscoroutinefunction(getattr(owner, name)))


@scenario
async def library_coroutines():
    for coro in (asyncio.sleep(0), asyncio.Queue().get(), asyncio.Lock().acquire(), asyncio.Event().wait()):
        emit(asyncio.iscoroutine(coro), inspect.isawaitable(coro), coro.__name__, coro.__qualname__)
        emit(
            hasattr(coro, "cr_frame"),
            hasattr(coro, "cr_running"),
            hasattr(coro, "cr_code"),
            hasattr(coro, "cr_await"),
        )
        coro.close()


@scenario
async def library_coroutines_in_tasks():
    queue = asyncio.Queue()
    task = asyncio.create_task(queue.get(), name="getter")
    emit(task)
    await asyncio.sleep(0)
    emit(task)
    queue.put_nowait(1)
    await task
    emit(task)


@scenario
async def never_awaited():
    asyncio.Queue().get()
    asyncio.Lock().acquire()
    asyncio.wait_for(asyncio.get_running_loop().create_future(), 1)


@scenario
async def coroutine_objects():
    coro = asyncio.Queue().get()
    emit(inspect.getcoroutinestate(coro))
    attempt("send a value first", coro.send, 5)
    fut = coro.send(None)
    emit(asyncio.isfuture(fut), inspect.getcoroutinestate(coro))
    attempt("throw", coro.throw, ValueError("thrown"))
    emit(inspect.getcoroutinestate(coro))
    attempt("finished", coro.send, None)
    attempt("close", coro.close)


@scenario
def bases():
    for name in (
        "Future",
        "Task",
        "Handle",
        "TimerHandle",
        "Queue",
        "PriorityQueue",
        "LifoQueue",
        "BoundedSemaphore",
    ):
        emit(name, [b.__name__ for b in getattr(asyncio, name).__mro__ if not b.__name__.startswith("_")])


@scenario
def submodules():
    for name in (
        "events",
        "futures",
        "tasks",
        "locks",
        "queues",
        "streams",
        "subprocess",
        "runners",
        "transports",
    ):
        emit(name, getattr(asyncio, name).__name__.rpartition(".")[2])
    emit(asyncio.tasks.Task is asyncio.Task, asyncio.futures.Future is asyncio.Future)
    emit(asyncio.events.get_running_loop is asyncio.get_running_loop)


@scenario
def doc_and_pickle():
    for cls in (asyncio.Future, asyncio.Task, asyncio.Queue, asyncio.Lock):
        emit(
            cls.__name__,
            cls.__module__.partition(".")[0] in ("asyncio", "_asyncio", "ferrio"),
            bool(cls.__doc__),
        )


@scenario
async def weak_references():
    import weakref

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(asyncio.sleep(0))
    for thing in (
        loop.create_future(),
        task,
        asyncio.Queue(),
        asyncio.Lock(),
        loop,
        loop.call_later(9, print),
    ):
        emit(weakref.ref(thing)() is thing)
    await task
