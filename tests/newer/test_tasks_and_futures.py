"""What newer asyncios refuse: a second `__init__`, a context that is none; and cancelling across threads."""

import contextvars
import sys
import threading

import pytest


@pytest.fixture
def loop(asyncio):
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


async def nothing():
    pass


@pytest.mark.skipif(sys.version_info < (3, 15), reason="until 3.14 a second __init__ starts a future anew")
@pytest.mark.parametrize("derived", [False, True])
def test_init_twice(asyncio, loop, derived):
    class Future(asyncio.Future):
        pass

    class Task(asyncio.Task):
        pass

    future = (Future if derived else asyncio.Future)(loop=loop)
    with pytest.raises(RuntimeError, match="Future object is already initialized"):
        future.__init__(loop=loop)
    with pytest.raises(RuntimeError, match="Future object is already initialized"):
        loop.create_future().__init__(loop=loop)
    coro, again = nothing(), nothing()
    task = (Task if derived else asyncio.Task)(coro, loop=loop)
    with pytest.raises(RuntimeError, match="Task object is already initialized"):
        task.__init__(again, loop=loop)
    again.close()
    loop.run_until_complete(task)


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="since 3.15 a second __init__ is refused")
def test_init_twice_starts_anew(loop):
    future = loop.create_future()
    future.set_result(1)
    future.__init__(loop=loop)
    assert not future.done()


@pytest.mark.parametrize("make", ["Task", "create_task", "loop.create_task", "group.create_task", "run"])
@pytest.mark.parametrize("eager", [False, True])
def test_what_is_no_context(asyncio, since, make, eager):
    """cpython #157301: the loop could not run in it, and went on trying."""
    since(3, 15)
    reported = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        async with asyncio.TaskGroup() as group:
            options = {"context": "no context"} | ({"eager_start": True} if eager else {})
            create = {
                "Task": lambda coro: asyncio.Task(coro, loop=loop, **options),
                "create_task": lambda coro: asyncio.create_task(coro, **options),
                "loop.create_task": lambda coro: loop.create_task(coro, **options),
                "group.create_task": lambda coro: group.create_task(coro, **options),
            }[make]
            coro = nothing()
            with pytest.raises(TypeError, match="context"):
                create(coro)
            coro.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    if make == "run":
        with asyncio.Runner() as runner:
            coro = nothing()
            with pytest.raises(TypeError, match="context"):
                runner.run(coro, context="no context")
            coro.close()
            runner.run(nothing())
    else:
        asyncio.run(main())
    assert reported == []


def test_a_context_that_is_entered_already(asyncio, since):
    """cpython #157301: an eager task cannot begin in it; nothing is left of that task."""
    since(3, 15)
    reported = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        context = contextvars.copy_context()

        def inside():
            coro = nothing()
            with pytest.raises(RuntimeError, match="cannot enter context"):
                asyncio.Task(coro, loop=loop, context=context, eager_start=True)
            coro.close()

        context.run(inside)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert reported == []


@pytest.mark.parametrize("where", ["loop's thread", "another thread"])
def test_cancelling_what_run_coroutine_threadsafe_returns(asyncio, since, where):
    """cpython #105836: in the loop's own thread the task hears of it at once, not in some later turn."""
    since(3, 14)

    async def main():
        loop = asyncio.get_running_loop()
        future = asyncio.run_coroutine_threadsafe(asyncio.sleep(3600), loop)
        await asyncio.sleep(0)
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        if where == "loop's thread":
            assert future.cancel()
            assert task.cancelling() == 1
        else:
            thread = threading.Thread(target=future.cancel)
            thread.start()
            await asyncio.to_thread(thread.join)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="before, it takes a turn, as programs can see of to_thread()"
)
def test_an_outcome_set_in_the_loops_thread_is_seen_at_once(asyncio):
    """As that of a future of the loop's own: `wrap_future()` goes through other threads only where it has to."""
    import concurrent.futures

    async def main():
        future = concurrent.futures.Future()
        wrapped = asyncio.wrap_future(future)
        future.set_result(3)
        assert wrapped.done()
        return await wrapped

    assert asyncio.run(main()) == 3
