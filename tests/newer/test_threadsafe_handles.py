"""`call_soon_threadsafe()` since 3.14: cancelling its handle in another thread waits while the callback runs."""

import sys
import threading

import pytest

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="before 3.14 cancel() does not wait, and a program may count on that"
)


@pytest.fixture
def loop(asyncio):
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_class(asyncio, loop):
    handle = loop.call_soon_threadsafe(print)
    assert type(handle) is asyncio.events._ThreadSafeHandle
    assert isinstance(handle, asyncio.Handle)
    assert repr(handle) == "<_ThreadSafeHandle print()>"
    handle.cancel()
    assert repr(handle) == "<_ThreadSafeHandle cancelled>"


@pytest.mark.parametrize("method", ["cancel", "cancelled"])
@pytest.mark.parametrize("debug", [False, True])
def test_waits_while_it_runs(loop, method, debug):
    """The callback does not end before the other thread has had all the time it needs to wait."""
    loop.set_debug(debug)
    started, asks = threading.Event(), threading.Event()
    seen = []

    def callback():
        started.set()
        asks.wait()
        # The other thread is at the call, or in it: it may only get on when this has ended.
        for _ in range(50):
            threading.Event().wait(0.001)
        seen.append("callback")

    def other():
        handle = loop.call_soon_threadsafe(callback)
        started.wait()
        asks.set()
        seen.append(("handle", getattr(handle, method)()))
        loop.call_soon_threadsafe(loop.stop)

    loop.set_exception_handler(lambda _, context: seen.append(context["message"]))
    loop.slow_callback_duration = 10
    thread = threading.Thread(target=other)
    thread.start()
    loop.run_forever()
    thread.join()
    assert seen == ["callback", ("handle", None if method == "cancel" else False)]


def test_several_threads_wait(loop):
    started, barrier = threading.Event(), threading.Barrier(4)
    seen = []

    def callback():
        started.set()
        barrier.wait()
        for _ in range(20):
            threading.Event().wait(0.001)
        seen.append("callback")

    def other():
        started.wait()
        barrier.wait()
        seen.append(handle.cancelled())

    handle = loop.call_soon_threadsafe(callback)
    threads = [threading.Thread(target=other) for _ in range(3)]
    for thread in threads:
        thread.start()
    loop.call_soon(loop.stop)
    loop.run_forever()
    for thread in threads:
        thread.join()
    assert seen == ["callback", False, False, False]


def test_the_thread_that_runs_it_does_not_wait(loop):
    seen = []

    def callback():
        seen.append(handle.cancelled())
        handle.cancel()
        seen.append(handle.cancelled())
        loop.stop()

    handle = loop.call_soon_threadsafe(callback)
    loop.run_forever()
    assert seen == [False, True]


def test_cancelled_before_it_runs(loop):
    seen = []
    handle = loop.call_soon_threadsafe(seen.append, 1)
    thread = threading.Thread(target=handle.cancel)
    thread.start()
    thread.join()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == []
    assert handle.cancelled()


def test_a_callback_that_raises_lets_go(loop):
    started, asks = threading.Event(), threading.Event()
    seen = []

    def callback():
        started.set()
        asks.wait()
        raise ZeroDivisionError

    def other():
        started.wait()
        asks.set()
        handle.cancel()
        loop.call_soon_threadsafe(loop.stop)

    loop.set_exception_handler(lambda _, context: seen.append(type(context["exception"])))
    handle = loop.call_soon_threadsafe(callback)
    thread = threading.Thread(target=other)
    thread.start()
    loop.run_forever()
    thread.join()
    assert seen == [ZeroDivisionError]


def test_a_loop_in_python_runs_it_by_hand(loop):
    """`_run()`, as loops do that are written in Python: the same rules."""
    started, asks = threading.Event(), threading.Event()
    seen = []

    def callback():
        started.set()
        asks.wait()
        for _ in range(20):
            threading.Event().wait(0.001)
        seen.append("callback")

    def other():
        started.wait()
        asks.set()
        handle.cancel()
        seen.append("cancelled")

    handle = loop.call_soon_threadsafe(callback)
    thread = threading.Thread(target=other)
    thread.start()
    handle._run()
    thread.join()
    assert seen == ["callback", "cancelled"]
    handle._run()
    assert seen == ["callback", "cancelled"]


def test_in_the_queue_of_a_program(asyncio, loop):
    """What the program takes out of `_ready` is the handle, and it runs if it is put back."""
    seen = []
    handle = loop.call_soon_threadsafe(seen.append, 1)
    taken = loop._ready.popleft()
    assert taken is handle
    loop._ready.append(taken)
    assert loop._ready[0] is handle
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [1]
