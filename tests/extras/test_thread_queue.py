"""ThreadQueue: threads and tasks on both ends; every item arrives once, in order, and everybody is let go."""

import _thread
import collections
import threading

import ferrio
import pytest
from ferrio.extras import ThreadQueue

LONG = 60
"""Seconds: a limit against hangs, never reached."""


def in_threads(*functions):
    """Runs all at once and raises what any of them raised."""
    errors = []

    def guard(function):
        try:
            function()
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=guard, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        # An error on one side leaves the other side waiting: it is the error that has to be told.
        if errors:
            raise errors[0]
        assert not thread.is_alive(), "a thread was never woken"


@pytest.mark.parametrize("maxsize", [0, 1, 7])
def test_thread_to_task(maxsize):
    queue = ThreadQueue(maxsize)

    def produce():
        for i in range(2000):
            queue.put(i, timeout=LONG)

    def consume():
        async def main():
            assert [await queue.aget() for _ in range(2000)] == list(range(2000))

        ferrio.run(main())

    in_threads(produce, consume)


@pytest.mark.parametrize("maxsize", [0, 1, 7])
def test_task_to_thread(maxsize):
    queue = ThreadQueue(maxsize)

    def produce():
        async def main():
            for i in range(2000):
                await queue.aput(i)

        ferrio.run(main())

    def consume():
        assert [queue.get(timeout=LONG) for _ in range(2000)] == list(range(2000))

    in_threads(produce, consume)


def test_two_loops_and_two_threads_on_each_side():
    queue, got = ThreadQueue(3), []

    def put_from_thread(start):
        for i in range(start, start + 500):
            queue.put(i, timeout=LONG)

    def put_from_loop(start):
        async def worker(begin):
            for i in range(begin, begin + 250):
                await queue.aput(i)

        async def main():
            await ferrio.gather(worker(start), worker(start + 250))

        ferrio.run(main())

    def get_from_thread():
        while True:
            try:
                got.append(queue.get(timeout=LONG))
            except ferrio.QueueShutDown:
                return
            queue.task_done()

    def get_from_loop():
        async def worker():
            while True:
                try:
                    got.append(await queue.aget())
                except ferrio.QueueShutDown:
                    return
                queue.task_done()

        async def main():
            await ferrio.gather(worker(), worker())

        ferrio.run(main())

    def end():
        in_threads(*[lambda f=f, s=s: f(s) for s, f in enumerate_starts()])
        assert queue.join(LONG)
        queue.shutdown()

    def enumerate_starts():
        return [(0, put_from_thread), (500, put_from_thread), (1000, put_from_loop), (1500, put_from_loop)]

    in_threads(end, get_from_thread, get_from_thread, get_from_loop, get_from_loop)
    assert collections.Counter(got) == collections.Counter(range(2000))


def test_without_waiting():
    queue = ThreadQueue(1)
    with pytest.raises(ferrio.QueueEmpty):
        queue.get_nowait()
    with pytest.raises(ferrio.QueueEmpty):
        queue.get(block=False)
    with pytest.raises(ferrio.QueueEmpty):
        queue.get(timeout=0)
    with pytest.raises(ferrio.QueueEmpty):
        queue.get(timeout=0.001)
    queue.put_nowait("x")
    assert queue.full()
    assert queue.qsize() == 1
    for refused in (
        lambda: queue.put_nowait("y"),
        lambda: queue.put("y", block=False),
        lambda: queue.put("y", timeout=0.001),
    ):
        with pytest.raises(ferrio.QueueFull):
            refused()
    assert queue.get_nowait() == "x"
    assert queue.empty()
    with pytest.raises(ValueError, match="non-negative"):
        queue.get(timeout=-1)


def test_what_changes_while_a_thread_gets_ready_to_wait(monkeypatch):
    """Making the lock to wait with may let other threads run; here they do what ends the wait."""
    make, others = _thread.allocate_lock, []

    def allocate_lock():
        others.pop()()
        return make()

    monkeypatch.setattr(_thread, "allocate_lock", allocate_lock)
    queue = ThreadQueue(1)
    others.append(lambda: queue.put_nowait("x"))
    assert queue.get(timeout=LONG) == "x"
    queue.put_nowait("x")
    others.append(queue.get_nowait)
    queue.put("y", timeout=LONG)
    queue.task_done()
    queue.task_done()
    others.append(queue.task_done)
    assert queue.join(LONG)
    others.append(queue.shutdown)
    with pytest.raises(ferrio.QueueShutDown):
        queue.put("y", timeout=LONG)
    assert not others


def test_a_cancelled_task_passes_its_wake_up_on():
    async def main():
        queue = ThreadQueue()
        first, second = ferrio.create_task(queue.aget()), ferrio.create_task(queue.aget())
        await ferrio.sleep(0)
        queue.put_nowait("item")
        first.cancel()
        assert await second == "item"
        assert first.cancelled()

    ferrio.run(main())


def test_a_loop_that_was_closed_over_its_waiter():
    queue = ThreadQueue()
    loop = ferrio.new_event_loop()
    waiting = loop.create_task(queue.aget())
    loop.run_until_complete(ferrio.sleep(0))
    loop.close()
    got = []
    in_threads(lambda: got.append(queue.get(timeout=LONG)), lambda: queue.put("item", timeout=LONG))
    assert got == ["item"]
    waiting._log_destroy_pending = False


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown(immediate):
    queue = ThreadQueue()
    queue.put_nowait(1)
    queue.shutdown(immediate)
    with pytest.raises(ferrio.QueueShutDown):
        queue.put_nowait(2)
    if not immediate:
        assert queue.get() == 1
        queue.task_done()
    with pytest.raises(ferrio.QueueShutDown):
        queue.get()
    assert queue.join(LONG)


def test_shutdown_lets_everybody_go():
    empty, full = ThreadQueue(), ThreadQueue(1)
    full.put_nowait("x")
    ready = threading.Barrier(5)

    def expect(wait):
        ready.wait(LONG)
        with pytest.raises(ferrio.QueueShutDown):
            wait()

    def in_loop(start):
        async def main():
            with pytest.raises(ferrio.QueueShutDown):
                await start()

        ready.wait(LONG)
        ferrio.run(main())

    def end():
        ready.wait(LONG)
        empty.shutdown()
        full.shutdown()

    in_threads(
        lambda: expect(lambda: empty.get(timeout=LONG)),
        lambda: expect(lambda: full.put("y", timeout=LONG)),
        lambda: in_loop(empty.aget),
        lambda: in_loop(lambda: full.aput("y")),
        end,
    )


def test_join():
    async def main():
        queue = ThreadQueue()
        await queue.ajoin()
        queue.put_nowait(1)
        assert not queue.join(0.001)
        joined = ferrio.create_task(queue.ajoin())
        await ferrio.sleep(0)
        assert not joined.done()
        queue.get_nowait()
        queue.task_done()
        await joined
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()

    ferrio.run(main())
