"""A bit of everything, for interpreters that look more closely: prints ``ok``, and nothing else to anywhere.

Run by ``test_dev_mode.py``; by hand wherever a quick answer is wanted whether a build works at all::

    PYTHONPATH=python python -X dev tests/dev_mode/smoke.py
"""

import contextvars
import functools
import gc
import logging
import sys
import threading
import weakref

import ferrio as asyncio

ROUNDS = 20


async def child(n):
    await asyncio.sleep(0)
    return n


async def futures(loop):
    for value in 5, "text", (1, 2), None, ValueError("a value"):
        future = loop.create_future()
        loop.call_soon(future.set_result, value)
        assert await future is value
    future = loop.create_future()
    loop.call_soon(future.set_exception, KeyError("mine"))
    try:
        await future
    except KeyError as error:
        assert error.args == ("mine",)
    else:
        raise AssertionError
    called = []
    future = loop.create_future()
    future.add_done_callback(called.append)
    future.add_done_callback(print)
    assert future.remove_done_callback(print) == 1
    future.cancel()
    await asyncio.sleep(0)
    assert called == [future]


async def tasks(loop):
    assert await asyncio.gather(*map(child, range(50))) == list(range(50))
    done, pending = await asyncio.wait([loop.create_task(child(n)) for n in range(5)])
    assert len(done) == 5 and not pending
    assert sorted([await next_one for next_one in asyncio.as_completed(map(child, range(5)))]) == list(
        range(5)
    )
    assert await asyncio.wait_for(child(1), 10) == 1
    assert await asyncio.shield(child(2)) == 2

    class Sub(asyncio.Task):
        __slots__ = ("extra",)

    task = Sub(child(3), loop=loop)
    task.extra = task
    assert await task == 3
    assert asyncio.current_task() in asyncio.all_tasks()


async def cancellation(loop):
    for sleeping in asyncio.sleep(100), loop.create_future(), asyncio.Event().wait(), asyncio.Queue().get():
        task = asyncio.ensure_future(wrap(sleeping))
        await asyncio.sleep(0)
        task.cancel("enough")
        try:
            await task
        except asyncio.CancelledError as error:
            assert error.args == ("enough",)
        else:
            raise AssertionError
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(100)
    except TimeoutError:
        pass
    else:
        raise AssertionError
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(100))
            group.create_task(fail())
    except* ZeroDivisionError:
        pass
    asyncio.sleep(0).close()
    asyncio.sleep(1).close()
    asyncio.Queue().get().close()


async def wrap(awaitable):
    return await awaitable


async def fail():
    await asyncio.sleep(0)
    raise ZeroDivisionError


async def callbacks(loop):
    called = []
    variable = contextvars.ContextVar("variable", default=0)
    context = contextvars.copy_context()
    context.run(variable.set, 7)
    loop.call_soon(lambda: called.append(variable.get()), context=context)
    loop.call_soon(called.append, 1).cancel()
    loop.call_later(0.001, called.append, 2)
    loop.call_later(100, called.append, 3).cancel()
    loop.call_at(loop.time(), called.append, 4)
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(called.append, 5))
    thread.start()
    thread.join()
    while len(called) < 4:
        await asyncio.sleep(0.001)  # nothing says that the last of them has run
    assert sorted(called) == [2, 4, 5, 7], called
    assert await loop.run_in_executor(None, len, "text") == 4
    assert await asyncio.to_thread(sum, [1, 2, 3]) == 6


async def between_tasks(loop):
    queue = asyncio.Queue(3)
    lock = asyncio.Lock()
    total = 0

    async def produce():
        for n in range(100):
            await queue.put(n)
        await queue.put(None)

    async def consume():
        nonlocal total
        while (n := await queue.get()) is not None:
            async with lock:
                total += n
            queue.task_done()

    await asyncio.gather(produce(), consume())
    assert total == 4950
    event, semaphore, condition = asyncio.Event(), asyncio.Semaphore(2), asyncio.Condition()

    async def wait():
        await event.wait()
        async with semaphore, condition:
            condition.notify_all()

    waiting = [loop.create_task(wait()) for _ in range(5)]
    await asyncio.sleep(0)
    event.set()
    await asyncio.gather(*waiting)


async def streams(loop):
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for n in range(20):
            writer.write(b"%d\n" % n)
            assert await reader.readuntil(b"\n") == b"%d\n" % n
        writer.close()
        await writer.wait_closed()


async def garbage(loop):
    """Cycles through every kind of object are found; a long chain dies without deep recursion."""
    future, task = loop.create_future(), loop.create_task(child(0))
    handle = loop.call_soon(id, 0)
    queue, event = asyncio.Queue(), asyncio.Event()
    await task
    dead = []
    for made in future, task, queue, event:
        box = [made]
        box.append(box)
        if made is future:
            future.add_done_callback(functools.partial(print, future, box))
            future.box = box
        dead.append(weakref.ref(made))
    queue.put_nowait(queue)
    dead.append(weakref.ref(handle))
    del future, task, handle, queue, event, made, box
    await asyncio.sleep(0)
    gc.collect()
    assert not any(ref() for ref in dead), [ref() for ref in dead]

    chain = None
    for _ in range(20_000):
        future = loop.create_future()
        future.set_result(chain)
        chain = future


async def main():
    loop = asyncio.get_running_loop()
    for part in futures, tasks, cancellation, callbacks, between_tasks, streams, garbage:
        for _ in range(ROUNDS if part is not garbage else 2):
            await part(loop)


if __name__ == "__main__":
    # Slow callbacks are no fault: these interpreters are slow.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    for _ in range(2):
        asyncio.run(main())
        gc.collect()
    print("ok", file=sys.stdout)
