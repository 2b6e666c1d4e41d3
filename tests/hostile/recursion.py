"""Recursion as deep as a program makes it: it ends in RecursionError or succeeds, and never takes the process along."""

import asyncio
import functools
import gc
import sys
import threading
import warnings

from survival import program


def outcome(call):
    try:
        return call()
    except RecursionError:
        return "RecursionError"


async def leaf():
    return "done"


def nested(depth, around, innermost):
    for _ in range(depth):
        innermost = around(innermost)
    return innermost


def close_all(coro):
    """A coroutine that was never awaited is not what is tested here."""
    warnings.simplefilter("ignore", RuntimeWarning)
    return coro


@program("RecursionError")
def wait_for():
    async def main():
        return await close_all(nested(20_000, lambda coro: asyncio.wait_for(coro, None), leaf()))

    return outcome(lambda: asyncio.run(main()))


@program("RecursionError")
def wait_for_in_a_small_stack():
    return in_thread(256 * 1024, wait_for)


@program("RecursionError")
def wait_for_sent_by_hand():
    coro = close_all(nested(20_000, lambda coro: asyncio.wait_for(coro, None), leaf()))

    async def main():
        return coro.send(None)

    return outcome(lambda: asyncio.run(main()))


@program()
def dropped_before_it_ran():
    close_all(nested(100_000, lambda coro: asyncio.wait_for(coro, None), leaf()))
    gc.collect()
    return "done"


@program()
def closed_while_it_waits():
    """As deep as it gets, closed from outside."""

    async def main():
        depth = 1
        while True:
            coro = close_all(nested(depth, lambda coro: asyncio.wait_for(coro, None), asyncio.sleep(100)))
            try:
                coro.send(None)
            except RecursionError:
                return "done"
            try:
                coro.close()
            except RecursionError:
                return "done"
            if depth > 100_000:
                return "done"
            depth *= 2

    return asyncio.run(main())


@program()
def thrown_into_while_it_waits():
    async def main():
        depth = 1
        while depth < 100_000:
            task = asyncio.create_task(
                close_all(nested(depth, lambda coro: asyncio.wait_for(coro, None), asyncio.sleep(100)))
            )
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            except RecursionError:
                return "done"
            depth *= 2
        return "done"

    return asyncio.run(main())


def in_thread(stack, function):
    result = []
    old = threading.stack_size(stack)
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    threading.stack_size(old)
    thread.join()
    return result[0]


@program()
def ordinary_work_in_a_small_stack():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\n")
            assert await asyncio.wait_for(asyncio.shield(reader.readline()), 60) == b"line\n"
            writer.close()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.to_thread(sum, (i, 1))) for i in range(3)]
        assert [task.result() for task in tasks] == [1, 2, 3]
        assert repr(asyncio.current_task())
        return (
            await asyncio.gather(*[nested(5, lambda c: asyncio.wait_for(c, 60), leaf()) for _ in range(9)])
        )[0]

    return in_thread(256 * 1024, lambda: asyncio.run(main()))


def chain_of_tasks(length, link):
    """Tasks of which each waits for the next; the first and the last."""

    async def main():
        last = asyncio.get_running_loop().create_future()
        awaited, tasks = last, []
        for _ in range(length):
            awaited = asyncio.create_task(link(awaited))
            tasks.append(awaited)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            tasks[-1].cancel()
        except RecursionError:
            last.cancel()
            await asyncio.wait(tasks)
            return "RecursionError"
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks) and last.cancelled()
        return "cancelled"

    return asyncio.run(main())


async def awaits(fut):
    await fut


async def awaits_gathered(fut):
    await asyncio.gather(fut, asyncio.sleep(0))


@program("cancelled", stock="RecursionError")
def cancelled_chain_of_tasks():
    return chain_of_tasks(60_000, awaits)


@program("cancelled", stock="RecursionError")
def cancelled_chain_of_tasks_and_gathers():
    return chain_of_tasks(10_000, awaits_gathered)


@program("cancelled")
def cancelled_chain_in_a_small_stack():
    # Not longer: the CancelledError's traceback has an entry per task, and 3.13's tb_dealloc recurses.
    return in_thread(256 * 1024, lambda: chain_of_tasks(1_000, awaits))


@program("cancelled", stock="RecursionError")
def cancelled_gather_of_gathers():
    async def main():
        last = asyncio.get_running_loop().create_future()
        outer = nested(20_000, asyncio.gather, last)
        try:
            outer.cancel()
        except RecursionError:
            return "RecursionError"
        assert last.cancelled()
        try:
            await outer
        except asyncio.CancelledError:
            return "cancelled"

    return asyncio.run(main())


@program("cancelled")
def cancelled_shield_of_shields():
    async def main():
        last = asyncio.get_running_loop().create_future()
        shields = [last]
        for _ in range(20_000):
            shields.append(asyncio.shield(shields[-1]))
        last.cancel()
        try:
            await shields[-1]
        except asyncio.CancelledError:
            return "cancelled"

    return asyncio.run(main())


@program("RecursionError")
def cancelled_circle():
    """Tasks that wait for one another: no end, whichever way it is looked for."""

    async def main():
        tasks = {}

        async def wait_for_the_other(number):
            await asyncio.sleep(0)
            await tasks[(number + 1) % 37]

        tasks.update((i, asyncio.create_task(wait_for_the_other(i))) for i in range(37))
        for _ in range(4):
            await asyncio.sleep(0)
        result = outcome(tasks[0].cancel)
        tasks[0].get_coro().close()
        for task in tasks.values():
            task._log_destroy_pending = False
        return result

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


@program("RecursionError")
def repr_of_a_handle_that_calls_itself():
    loop = asyncio.new_event_loop()
    handle = asyncio.Handle(None, (), loop)
    handle._callback = handle
    result = outcome(lambda: repr(handle))
    handle._callback = None
    loop.close()
    return result


# 3.14 looks at the stack that is left, and there is enough.
@program("done" if sys.version_info >= (3, 14) else "RecursionError")
def repr_of_a_chain_of_tasks():
    async def main():
        last = asyncio.get_running_loop().create_future()
        awaited = last
        tasks = []
        for _ in range(5_000):
            awaited = asyncio.create_task(awaits(awaited))
            tasks.append(awaited)
        await asyncio.sleep(0)
        result = outcome(lambda: repr(tasks[-1]) and "done")
        last.set_result(None)
        await asyncio.wait(tasks)
        return result

    return asyncio.run(main())


@program()
def source_of_a_function_that_wraps_itself():
    class Method:
        def __call__(self):
            pass

    method = Method()
    method.__func__ = method
    loop = asyncio.new_event_loop()
    result = outcome(lambda: repr(asyncio.Handle(method, (), loop)) and "done")
    loop.close()
    return result


@program("RecursionError")
def repr_of_nested_partials():
    """Not flattened, because each has an attribute of its own."""

    class Partial(functools.partial):
        pass

    callback = print
    for _ in range(50_000):
        callback = Partial(callback)
        callback.own = 1
    loop = asyncio.new_event_loop()
    result = outcome(lambda: repr(asyncio.Handle(callback, (), loop)) and "done")
    loop.close()
    return result
