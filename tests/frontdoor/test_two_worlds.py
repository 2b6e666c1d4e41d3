"""Stock asyncio's functions inside a loop of ferrio's, and ferrio's inside a loop of stock's, in one process."""

import pytest

# Both are loaded in either order; the third loads stock while ferrio's loop runs.
BOTH = {
    "ferrio first": "import ferrio\nimport asyncio\n",
    "stock first": "import asyncio\nimport ferrio\n",
}


@pytest.fixture(params=BOTH.values(), ids=BOTH)
def both(request):
    return request.param


LIBRARY = """
import contextlib, sys, threading

async def library():
    'What a library does that imports stock.'
    loop = asyncio.get_running_loop()
    assert loop is asyncio.get_event_loop() is ferrio.get_running_loop()
    me = asyncio.current_task()
    assert me is not None and me is ferrio.current_task() is asyncio.current_task(loop)
    assert isinstance(me, asyncio.Task) and isinstance(me, asyncio.Future) and asyncio.isfuture(me)
    assert isinstance(loop.create_future(), asyncio.Future)
    assert not isinstance(loop.create_future(), asyncio.Task)

    await asyncio.sleep(0)
    assert asyncio.current_task() is me
    await asyncio.sleep(0.001)  # stock's, on a timer of ours
    assert await asyncio.wait_for(asyncio.sleep(0, "waited"), 10) == "waited"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(10)
            raise AssertionError
    assert await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2)) == [1, 2]
    async with asyncio.TaskGroup() as group:
        one, two = (group.create_task(asyncio.sleep(0, n)) for n in (1, 2))
    assert (one.result(), two.result()) == (1, 2)
    lock, queue = asyncio.Lock(), asyncio.Queue()
    async with lock:
        queue.put_nowait(1)
    assert await queue.get() == 1

    async def waits():
        await ferrio.sleep(10)

    other = asyncio.create_task(waits())
    for all_tasks in asyncio.all_tasks, ferrio.all_tasks:
        assert all_tasks() == all_tasks(loop) == {me, other}, all_tasks
    other.cancel()
    await asyncio.wait([other])
    assert other.cancelled() and asyncio.all_tasks() == {me}

    # Outside of tasks there is none; in other threads there is no loop.
    seen = loop.create_future()
    loop.call_soon(lambda: seen.set_result((asyncio.current_task(), ferrio.current_task())))
    assert await seen == (None, None)
    assert asyncio.current_task() is me
    assert await asyncio.to_thread(asyncio._get_running_loop) is None
    assert await asyncio.to_thread(ferrio._get_running_loop) is None
    return "done"

def nothing_left():
    assert asyncio._get_running_loop() is None is ferrio._get_running_loop()
"""


@pytest.mark.parametrize(
    "run",
    [
        "asyncio.Runner(loop_factory=ferrio.new_event_loop).run(library())",
        "ferrio.run(library())",
        "ferrio.Runner(loop_factory=ferrio.EventLoop).run(library())",
        "asyncio.run(library())",
        "asyncio.new_event_loop().run_until_complete(library())",
    ],
)
def test_a_library_that_imports_stock(program, both, run):
    """The last two are loops of stock's, where ferrio's functions are the guests."""
    script = both + LIBRARY + f"result = {run}\nnothing_left()\nprint(result)"
    if "new_event_loop().run" in run or "Runner(" in run:
        # Nobody closes these loops.
        script = "import warnings\nwarnings.simplefilter('ignore', ResourceWarning)\n" + script
    assert program(script) == "done"


def test_stock_is_loaded_by_a_running_task(program):
    program(
        """
        import ferrio

        async def main():
            import sys
            assert "asyncio" not in sys.modules
            import asyncio
            loop = asyncio.get_running_loop()
            assert loop is ferrio.get_running_loop()
            assert asyncio.current_task() is ferrio.current_task() is not None
            await asyncio.sleep(0)
            assert asyncio.current_task() is ferrio.current_task() is not None
            return asyncio

        asyncio = ferrio.run(main())
        assert asyncio._get_running_loop() is None
        """
    )


@pytest.mark.parametrize("outer, inner", [("asyncio", "ferrio"), ("ferrio", "asyncio")])
def test_no_loop_runs_inside_another(program, both, outer, inner):
    program(
        both
        + f"""
async def nothing():
    pass

async def main():
    loop, coro = {inner}.new_event_loop(), nothing()
    for run in {inner}.run, loop.run_until_complete:
        try:
            run(coro)
        except RuntimeError as exc:
            assert "running" in str(exc), exc
        else:
            raise AssertionError(run)
    coro.close()
    loop.close()
    assert asyncio.get_running_loop() is ferrio.get_running_loop()

{outer}.run(main())
"""
    )


def test_tasks_of_both_on_one_loop(program, both):
    program(
        both
        + """
async def who(name):
    me = asyncio.current_task()
    assert me is ferrio.current_task() is asyncio.current_task(ferrio.get_running_loop())
    assert me.get_name() == name, (me, name)
    await ferrio.sleep(0)
    assert asyncio.current_task() is me
    await asyncio.sleep(0)
    assert ferrio.current_task() is me
    assert me in asyncio.all_tasks() and me in ferrio.all_tasks()
    return me

async def main():
    loop = ferrio.get_running_loop()
    tasks = [
        ferrio.Task(who("ours"), loop=loop, name="ours"),
        asyncio.Task(who("stock's"), loop=loop, name="stock's"),
    ]
    assert asyncio.all_tasks() == ferrio.all_tasks() == {asyncio.current_task(), *tasks}
    assert [await task for task in tasks] == tasks

asyncio.run(main())
ferrio.run(main())
"""
    )


def test_an_eager_task_inside_another(program, both):
    program(
        both
        + """
async def main():
    outer = asyncio.current_task()

    async def inner():
        me = asyncio.current_task()
        assert me is ferrio.current_task() and me is not outer
        await ferrio.sleep(0)
        assert asyncio.current_task() is ferrio.current_task() is me

    ferrio.get_running_loop().set_task_factory(ferrio.eager_task_factory)
    task = ferrio.create_task(inner())
    assert asyncio.current_task() is ferrio.current_task() is outer
    await task

ferrio.run(main())
"""
    )


def test_a_derived_class_is_its_own(program, both):
    program(
        both
        + """
class Derived(ferrio.Task):
    pass

async def main():
    task = Derived(ferrio.sleep(0))
    assert task.__class__ is Derived and isinstance(task, ferrio.Task)
    await task

ferrio.run(main())
assert ferrio.Task.__class__ is type
"""
    )


def test_a_class_without_stock(program):
    program(
        """
        import ferrio

        async def main():
            assert ferrio.current_task().__class__ is ferrio.Task
            assert ferrio.get_running_loop().create_future().__class__ is ferrio.Future

        ferrio.run(main())
        """
    )


def test_loops_of_both_in_threads(program, both):
    """Each thread has its own running loop and current task, be they of asyncio or of ferrio."""
    program(
        both
        + LIBRARY
        + """
def in_thread(run, barrier, results):
    nothing_left()

    async def main():
        barrier.wait()
        return await library()

    results.append(run(main()))
    nothing_left()

runs = [
    asyncio.run, ferrio.run,
    lambda coro: asyncio.Runner(loop_factory=ferrio.new_event_loop).run(coro),
    lambda coro: ferrio.Runner(loop_factory=asyncio.new_event_loop).run(coro),
]
import warnings
warnings.simplefilter("ignore", ResourceWarning)
for turn in range(3):
    barrier, results = threading.Barrier(len(runs)), []
    threads = [threading.Thread(target=in_thread, args=(run, barrier, results)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["done"] * len(runs), results
    nothing_left()
"""
    )


@pytest.mark.parametrize("theirs, ours", [("asyncio", "ferrio"), ("ferrio", "asyncio")])
def test_from_a_loop_of_one_to_a_loop_of_the_other(program, both, theirs, ours):
    """`run_coroutine_threadsafe()`, `wrap_future()` and `call_soon_threadsafe()` of either, on a loop of the other."""
    program(
        both
        + f"""
import threading

async def work(x):
    assert {theirs}.get_running_loop() is {ours}.get_running_loop() is other
    assert asyncio.current_task() is ferrio.current_task() is not None
    await {ours}.sleep(0)
    return x

async def main():
    for run in asyncio.run_coroutine_threadsafe, ferrio.run_coroutine_threadsafe:
        for wrap in asyncio.wrap_future, ferrio.wrap_future:
            assert await wrap(run(work(3), other)) == 3
        cancelled = run({ours}.sleep(3600), other)
        cancelled.cancel()
        try:
            await asyncio.wrap_future(cancelled)
        except asyncio.CancelledError:
            pass
        else:
            raise AssertionError
    done = {ours}.get_running_loop().create_future()
    here = {ours}.get_running_loop()
    other.call_soon_threadsafe(lambda: here.call_soon_threadsafe(done.set_result, 4))
    assert await done == 4
    mine = asyncio.current_task()
    assert asyncio.all_tasks() == ferrio.all_tasks() == {{mine}}

other = {theirs}.new_event_loop()
thread = threading.Thread(target=other.run_forever)
thread.start()
{ours}.run(main())
other.call_soon_threadsafe(other.stop)
thread.join()
# What was cancelled has to hear of it.
tasks = {theirs}.all_tasks(other)
if tasks:
    other.run_until_complete({theirs}.wait(tasks))
other.close()
"""
    )


def test_stock_is_loaded_while_a_loop_runs_in_another_thread(program):
    """That loop is known to stock from its next turn on, and to its tasks."""
    program(
        """
        import ferrio, threading

        def imported():
            import sys
            return "asyncio" in sys.modules

        async def main():
            me = ferrio.current_task()
            started.set()
            while not loaded.is_set():
                await ferrio.sleep(0)
            await ferrio.sleep(0)
            await ferrio.sleep(0)
            import asyncio
            assert asyncio.get_running_loop() is ferrio.get_running_loop()
            assert asyncio.current_task() is me
            await asyncio.sleep(0)
            async with asyncio.timeout(60):
                await asyncio.sleep(0.001)
            assert asyncio.all_tasks() == {me}
            return asyncio

        def run():
            asyncio = ferrio.run(main())
            results.append(asyncio._get_running_loop())
            # And none in the runs that follow.
            ferrio.run(ferrio.sleep(0))
            results.append(asyncio._get_running_loop())

        started, loaded, results = threading.Event(), threading.Event(), []
        thread = threading.Thread(target=run)
        thread.start()
        started.wait()
        assert not imported()
        import asyncio
        loaded.set()
        assert asyncio._get_running_loop() is None
        thread.join()
        assert results == [None, None]
        """
    )


def test_stock_is_loaded_while_a_loop_waits_in_another_thread(program):
    """It is woken to hear of it."""
    program(
        """
        import ferrio, threading

        async def main():
            started.set()
            await wake
            import asyncio
            return asyncio.get_running_loop() is ferrio.get_running_loop() is loop

        loop = ferrio.new_event_loop()
        wake = loop.create_future()
        started, results = threading.Event(), []
        thread = threading.Thread(target=lambda: results.append(loop.run_until_complete(main())))
        thread.start()
        started.wait()
        import asyncio
        loop.call_soon_threadsafe(wake.set_result, None)
        thread.join()
        loop.close()
        assert results == [True]
        """
    )
