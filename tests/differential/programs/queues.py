"""Queue, PriorityQueue, LifoQueue."""

import asyncio

from observe import attempt, attempt_type, emit, outcome, scenario, spin


@scenario
async def basics():
    queue = asyncio.Queue(2)
    emit(queue, queue.maxsize, queue.empty(), queue.full(), queue.qsize())
    await queue.put(1)
    queue.put_nowait(2)
    emit(queue, queue.full())
    attempt("full", queue.put_nowait, 3)
    emit(await queue.get(), queue.get_nowait())
    attempt("empty", queue.get_nowait)
    emit(queue)


@scenario
async def order_of_getters():
    queue = asyncio.Queue()

    async def getter(name):
        emit(name, await queue.get())

    tasks = [asyncio.create_task(getter(name)) for name in "abc"]
    await spin()
    emit(queue)
    for i in range(3):
        queue.put_nowait(i)
    await asyncio.gather(*tasks)


@scenario
async def order_of_putters():
    queue = asyncio.Queue(1)

    async def putter(name):
        await queue.put(name)
        emit("put", name)

    tasks = [asyncio.create_task(putter(name)) for name in "abcd"]
    await spin()
    emit(queue)
    for _ in range(4):
        emit("got", await queue.get())
    await asyncio.gather(*tasks)


@scenario
async def cancelled_getter():
    queue = asyncio.Queue()
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await spin()
    first.cancel("impatient")
    queue.put_nowait("item")
    await outcome("first", first)
    await outcome("second", second)


@scenario
async def getter_cancelled_when_woken():
    queue = asyncio.Queue()
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await spin()
    queue.put_nowait("item")
    first.cancel()
    await outcome("first", first)
    await outcome("second", second)
    emit(queue.qsize())


@scenario
async def cancelled_putter():
    queue = asyncio.Queue(1)
    queue.put_nowait(0)
    first, second = (asyncio.create_task(queue.put(i)) for i in (1, 2))
    await spin()
    first.cancel()
    await outcome("first", first)
    emit(await queue.get())
    await second
    emit(await queue.get())


@scenario
async def join_and_task_done():
    queue = asyncio.Queue()
    await queue.join()
    attempt("too often", queue.task_done)
    for i in range(3):
        queue.put_nowait(i)
    joined = asyncio.create_task(queue.join())
    for _ in range(3):
        queue.get_nowait()
        await spin()
        emit(joined.done(), queue)
        queue.task_done()
    await joined
    attempt("too often", queue.task_done)


@scenario
async def priority():
    queue = asyncio.PriorityQueue()
    for item in (5, 1, 3, 1, 4):
        queue.put_nowait(item)
    emit([queue.get_nowait() for _ in range(5)], queue)
    queue.put_nowait((1, object()))
    attempt_type("not comparable", queue.put_nowait, (1, object()))


@scenario
async def lifo():
    queue = asyncio.LifoQueue(3)
    for item in "abc":
        queue.put_nowait(item)
    emit(queue.full(), [queue.get_nowait() for _ in range(3)], queue)


@scenario
async def subclass_hooks():
    class Mine(asyncio.Queue):
        def _init(self, maxsize):
            emit("_init", maxsize)
            self.items = []

        def _put(self, item):
            emit("_put", item)
            self.items.append(item)

        def _get(self):
            emit("_get")
            return self.items.pop(0)

        def qsize(self):
            return len(self.items)

    queue = Mine(2)
    await queue.put("x")
    emit(await queue.get(), queue.empty())


@scenario
async def unbounded_and_odd_sizes():
    emit(asyncio.Queue(0).full(), asyncio.Queue(-1).full(), asyncio.Queue())
    attempt_type("loop", lambda: asyncio.Queue(loop=None))
    emit(asyncio.Queue("text").maxsize)


@scenario
async def lazy():
    queue = asyncio.Queue()
    queue.put_nowait(1)
    coro = queue.get()
    emit(asyncio.iscoroutine(coro))
    coro.close()
    emit(queue.qsize())
    coro = queue.put(2)
    coro.close()
    emit(queue.qsize())


@scenario
def across_loops():
    queue = asyncio.Queue()

    async def get():
        await outcome("get", asyncio.wait_for(queue.get(), 0.001))

    asyncio.run(get())
    asyncio.run(get())


@scenario(since=(3, 13))
async def shutdown():
    queue = asyncio.Queue()
    queue.put_nowait(1)
    queue.put_nowait(2)
    queue.shutdown()
    attempt("put_nowait", queue.put_nowait, 3)
    await outcome("put", queue.put(3))
    emit(await queue.get(), queue.get_nowait())
    await outcome("get", queue.get())
    attempt("get_nowait", queue.get_nowait)
    emit(queue)


@scenario(since=(3, 13))
async def shutdown_immediately():
    queue = asyncio.Queue(2)
    queue.put_nowait(1)
    queue.put_nowait(2)
    putter = asyncio.create_task(queue.put(3))
    joiner = asyncio.create_task(queue.join())
    await spin()
    queue.shutdown(immediate=True)
    await outcome("putter", putter)
    await outcome("joiner", joiner)
    await outcome("get", queue.get())
    emit(queue.qsize(), queue)


@scenario(since=(3, 13))
async def shutdown_wakes_getters():
    queue = asyncio.Queue()
    getters = [asyncio.create_task(queue.get()) for _ in range(2)]
    await spin()
    queue.shutdown()
    for getter in getters:
        await outcome("getter", getter)


@scenario(since=(3, 13))
async def task_done_after_shutdown():
    queue = asyncio.Queue()
    queue.put_nowait(1)
    queue.get_nowait()
    queue.shutdown()
    attempt("task_done", queue.task_done)
    attempt("once too often", queue.task_done)
    await queue.join()
