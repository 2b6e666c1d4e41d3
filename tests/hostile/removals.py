"""Taking out many of many. If each took a walk over all of them, these would not end before they are ended."""

import asyncio

from survival import program

MANY = 100_000


@program()
def callbacks_that_are_all_the_same():
    loop = asyncio.new_event_loop()
    fut = loop.create_future()
    for _ in range(MANY):
        fut.add_done_callback(print)
    fut.add_done_callback(repr)
    assert fut.remove_done_callback(print) == MANY
    assert [callback for callback, _context in fut._callbacks] == [repr]
    loop.close()
    return "done"


@program(beyond="goes on for ever where comparing adds callbacks")
def callbacks_that_come_and_go_while_they_are_compared():
    loop = asyncio.new_event_loop()
    fut = loop.create_future()

    class Restless:
        __hash__ = None

        def __call__(self, fut):
            pass

        busy = False

        def __eq__(self, other):
            if not Restless.busy:
                Restless.busy = True
                fut.remove_done_callback(print)
                fut.add_done_callback(repr)
                Restless.busy = False
            return isinstance(other, Restless)

    for _ in range(3):
        fut.add_done_callback(Restless())
        fut.add_done_callback(print)
    fut.remove_done_callback(Restless())
    left = [callback for callback, _context in fut._callbacks or []]
    assert print not in left and not any(isinstance(callback, Restless) for callback in left), left
    loop.close()
    return "done"


def cancels(waits, *, sleeps=3):
    async def main():
        tasks = [asyncio.create_task(waits()) for _ in range(MANY)]
        for _ in range(sleeps):
            await asyncio.sleep(0)
        for task in reversed(tasks):
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        return "done"

    return asyncio.run(main())


QUADRATIC = "looks for each from the front of a deque"


@program(beyond=QUADRATIC)
def waiters_of_a_lock():
    lock = asyncio.Lock()

    async def wait():
        await lock.acquire()

    asyncio.run(lock.acquire())
    return cancels(wait)


@program(beyond=QUADRATIC)
def waiters_of_a_condition():
    condition = asyncio.Condition()

    async def wait():
        async with condition:
            await condition.wait()

    return cancels(wait)


@program(beyond=QUADRATIC)
def waiters_of_a_barrier():
    barrier = asyncio.Barrier(MANY + 1)
    return cancels(barrier.wait)


@program(beyond=QUADRATIC)
def waiters_of_a_queue():
    return cancels(asyncio.Queue().get)


@program()
def children_of_a_task_group():
    async def main():
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(MANY):
                    group.create_task(asyncio.sleep(100))
                await asyncio.sleep(0)
                raise ZeroDivisionError
        except* ZeroDivisionError:
            pass
        return "done"

    return asyncio.run(main())


@program()
def timers():
    async def main():
        loop = asyncio.get_running_loop()
        handles = [loop.call_later(1000 + i % 7, print) for i in range(MANY)]
        for handle in handles:
            handle.cancel()
        await asyncio.sleep(0)
        return "done"

    return asyncio.run(main())
