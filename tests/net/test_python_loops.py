"""What loops written in Python on asyncio's parts do to a loop: turns of their own over its queue and timers."""

import collections
import contextlib
import heapq
import sys
import threading
import time
import weakref

import pytest


def run_python(loop, until):
    """A turn after the other in Python, as nest_asyncio and others write it, until `until()`."""
    deadline = time.monotonic() + 30
    while not until():
        assert time.monotonic() < deadline
        ready = loop._ready
        scheduled = loop._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)
        if ready:
            timeout = 0
        elif scheduled:
            timeout = max(0, scheduled[0]._when - loop.time())
        else:
            timeout = 0.01
        loop._process_events(loop._selector.select(timeout))
        end = loop.time() + loop._clock_resolution
        while scheduled and scheduled[0]._when < end:
            ready.append(heapq.heappop(scheduled))
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()


@pytest.fixture
def running(asyncio, loop):
    """The loop is the running one without running."""
    asyncio._set_running_loop(loop)
    loop._thread_id = threading.get_ident()
    yield loop
    loop._thread_id = None
    asyncio._set_running_loop(None)


def test_turns_in_python(asyncio, running):
    async def main():
        async def handler(reader, writer):
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(30), 0.001)
        async with asyncio.timeout(30):
            await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0))
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0.001))
        return await running.run_in_executor(None, lambda: "done")

    task = running.create_task(main())
    run_python(running, task.done)
    assert task.result() == "done"
    # Timers that were cancelled are cancelled where they are now.
    assert all(handle._cancelled for handle in running._scheduled)


def test_the_queue_as_a_deque(asyncio, loop):
    ran = []
    ready = loop._ready
    assert len(ready) == 0 and not ready and list(ready) == []
    with pytest.raises(IndexError):
        ready.popleft()
    handles = [loop.call_soon(ran.append, i) for i in range(5)]
    assert len(ready) == 5 and list(ready) == handles and ready[0] is handles[0] and ready[-1] is handles[4]
    assert ready.popleft() is handles[0] and ready.pop() is handles[4]
    ready.appendleft(handles[4])
    ready.append(handles[0])
    ready.remove(handles[2])
    ready.rotate(1)
    assert list(ready) == [handles[0], handles[4], handles[1], handles[3]]
    assert ready.index(handles[4]) == 1 and ready.count(handles[2]) == 0 and handles[3] in ready
    ready.extend([handles[2]])
    handles[1].cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == [0, 4, 3, 2]
    loop.call_soon(ran.append, "never")
    loop._ready.clear()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert "never" not in ran


def test_every_item_is_a_handle(asyncio, loop):
    """What waits natively becomes one when it is looked at, and is the same one later."""

    async def main():
        fut = loop.create_future()
        tasks = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(2)]
        outer = asyncio.gather(fut, *tasks)
        fut.set_result(1)
        handles = list(loop._ready)
        assert handles and all(isinstance(handle, asyncio.Handle) for handle in handles)
        assert all(a is b for a, b in zip(handles, loop._ready, strict=True))
        assert [handle._cancelled for handle in handles] == [False] * len(handles)
        return await outer

    assert loop.run_until_complete(main()) == [1, None, None]


def test_a_handle_that_was_seen_can_be_cancelled(asyncio, loop):
    async def main():
        async def never():
            raise AssertionError("the step was cancelled")

        task = asyncio.ensure_future(never())
        (handle,) = list(loop._ready)
        handle.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        task._log_destroy_pending = False
        task.get_coro().close()

    loop.run_until_complete(main())


def test_a_queue_of_the_programs_own(asyncio, loop):
    """Another object in the queue's place, here one that runs what came last first."""

    class Stack(collections.deque):
        def popleft(self):
            return self.pop()

    loop._ready = Stack()
    ran = []

    async def main():
        for i in range(3):
            loop.call_soon(ran.append, i)
        for _ in range(4):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return "done"

    assert loop.run_until_complete(main()) == "done"
    assert sorted(ran) == [0, 1, 2] and ran[0] != 0


def test_timers_as_a_heap(asyncio, loop):
    ran = []
    handles = [loop.call_later(delay, ran.append, delay) for delay in (0.003, 0.001, 30)]
    scheduled = loop._scheduled
    assert isinstance(scheduled, list) and set(scheduled) == set(handles)
    assert scheduled[0] is handles[1] and all(handle._scheduled for handle in handles)
    handles.append(loop.call_later(0.002, ran.append, 0.002))
    own = asyncio.TimerHandle(loop.time(), ran.append, ("own",), loop)
    heapq.heappush(loop._scheduled, own)
    handles[2].cancel()
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert ran == ["own", 0.001, 0.002, 0.003]


def test_sleeps_and_timeouts_are_in_the_heap(asyncio, loop):
    async def main():
        sleeping = asyncio.ensure_future(asyncio.sleep(30))
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
            whens = sorted(round(handle._when - loop.time()) for handle in loop._scheduled)
            assert whens == [30, 60]
        sleeping.cancel()
        await asyncio.wait([sleeping])
        assert [handle for handle in loop._scheduled if not handle._cancelled] == []
        await asyncio.sleep(0.001)
        return "done"

    assert loop.run_until_complete(main()) == "done"


def test_a_run_of_ones_own(asyncio):
    class Loop(asyncio.SelectorEventLoop):
        turns = 0

        def run_forever(self):
            self._run_forever_setup()
            try:
                while not self._stopping:
                    self._run_once()
                    self.turns += 1
            finally:
                self._run_forever_cleanup()

    if sys.version_info < (3, 13) and not hasattr(asyncio.BaseEventLoop, "_run_forever_setup"):
        pytest.skip("asyncio has the two methods since 3.13")
    loop = Loop()
    hooks = sys.get_asyncgen_hooks()
    for _ in range(2):
        assert loop.run_until_complete(asyncio.sleep(0.001, "ran")) == "ran"
        assert not loop.is_running() and asyncio._get_running_loop() is None
        assert sys.get_asyncgen_hooks() == hooks
    assert loop.turns > 2
    loop.close()


def test_the_two_methods_around_a_run_can_be_replaced(asyncio):
    if sys.version_info < (3, 13) and not hasattr(asyncio.BaseEventLoop, "_run_forever_setup"):
        pytest.skip("asyncio has the two methods since 3.13")
    called = []

    class Loop(asyncio.SelectorEventLoop):
        def _run_forever_setup(self):
            called.append("setup")
            super()._run_forever_setup()

        def _run_forever_cleanup(self):
            super()._run_forever_cleanup()
            called.append("cleanup")

    loop = Loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert called == ["setup", "cleanup"]


def test_the_current_task_is_taken_away_and_put_back(asyncio, loop):
    current_tasks = asyncio.tasks._current_tasks
    if asyncio.tasks._c_current_task is not asyncio.current_task or sys.version_info >= (3, 14):
        if asyncio.__name__ == "asyncio":
            pytest.skip("since 3.14 asyncio's C functions have tasks of their own")

    async def inner():
        return asyncio.current_task()

    async def main():
        task = asyncio.current_task()
        assert current_tasks[loop] is task and loop in current_tasks
        assert current_tasks.pop(loop, None) is task
        assert asyncio.current_task() is None and current_tasks.pop(loop, None) is None
        other = asyncio.ensure_future(inner())
        run_python(loop, other.done)
        assert other.result() is other
        current_tasks[loop] = task
        assert asyncio.current_task() is task

    loop.run_until_complete(main())
    assert loop not in current_tasks


def test_private_attributes_can_be_set(asyncio):
    class Loop(asyncio.SelectorEventLoop):
        pass

    values = {
        "_ready": collections.deque(),
        "_scheduled": [],
        "_thread_id": None,
        "_closed": False,
        "_debug": False,
        "_stopping": False,
        "_exception_handler": None,
        "_task_factory": None,
        "_default_executor": None,
        "_coroutine_origin_tracking_enabled": False,
        "_asyncgens": set(),
        "_current_handle": None,
        "_signal_handlers": {},
        "_timer_cancelled_count": 0,
        "_executor_shutdown_called": False,
        "_asyncgens_shutdown_called": False,
        "_internal_fds": 1,
        "_transports": weakref.WeakValueDictionary(),
        "slow_callback_duration": 1.0,
    }
    for name, value in values.items():
        loop = Loop()
        setattr(loop, name, value)
        assert getattr(loop, name) == value, name
        assert loop.run_until_complete(asyncio.sleep(0.001, "ran")) == "ran"
        loop.close()


def test_another_class_while_it_lives(asyncio):
    class Later(asyncio.SelectorEventLoop):
        ahead = 1000

        def time(self):
            return super().time() + self.ahead

    loop = asyncio.SelectorEventLoop()
    Later.__bases__ = (type(loop),)
    before = loop.time()
    loop.__class__ = Later
    assert loop.time() >= before + 1000
    assert loop.call_later(1, int).when() >= before + 1000
    loop.close()
