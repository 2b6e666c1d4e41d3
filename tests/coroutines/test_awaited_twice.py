"""One coroutine object in two hands: the second ``await`` is refused, and the first does not notice.

As for every coroutine that ``async def`` makes.  Each kind of native coroutine is here: those that are machines of
their own (sleep, wait_for, streams), operations that usually end at once (locks, queues) and Rust's ``async fn``.
"""

import contextlib
import socket
import threading

import implementation
import pytest

library = implementation.package(implementation.chosen())

PAIR = socket.socketpair()
PAIR[0].setblocking(False)


@pytest.fixture(scope="module", autouse=True)
def sockets_closed():
    yield
    for sock in PAIR:
        sock.close()


ALREADY = "coroutine is being awaited already"
REUSED = "cannot reuse already awaited coroutine"


def sleep():
    return library.sleep(0.001, "slept"), lambda: None, "slept"


def yield_once():
    return library.sleep(0), lambda: None, None


def wait_for():
    fut = library.get_running_loop().create_future()
    return library.wait_for(fut, 60), lambda: fut.set_result("in time"), "in time"


def wait_for_nothing_more():
    fut = library.get_running_loop().create_future()
    return library.wait_for(fut, None), lambda: fut.set_result("ever"), "ever"


def wait():
    fut = library.get_running_loop().create_future()
    return library.wait([fut]), lambda: fut.set_result(None), ({fut}, set())


def to_thread():
    released = threading.Event()

    def call():
        released.wait()
        return "threaded"

    return library.to_thread(call), released.set, "threaded"


def lock():
    primitive = library.Lock()
    with pytest.raises(StopIteration):
        primitive.acquire().send(None)
    return primitive.acquire(), primitive.release, True


def event():
    primitive = library.Event()
    return primitive.wait(), primitive.set, True


def queue_get():
    queue = library.Queue()
    return queue.get(), lambda: queue.put_nowait("item"), "item"


def queue_put():
    queue = library.Queue(1)
    queue.put_nowait("first")
    return queue.put("second"), queue.get_nowait, None


def read():
    reader = library.StreamReader()
    return reader.read(5), lambda: reader.feed_data(b"bytes"), b"bytes"


def readline():
    reader = library.StreamReader()
    return reader.readline(), lambda: reader.feed_data(b"line\n"), b"line\n"


def sock_recv():
    ours, theirs = PAIR
    with contextlib.suppress(BlockingIOError):
        # What a test whose coroutine was ended has left.
        ours.recv(10)
    loop = library.get_running_loop()
    return loop.sock_recv(ours, 10), lambda: theirs.sendall(b"sent"), b"sent"


def shutdown_default_executor():
    loop = library.get_running_loop()
    released = threading.Event()
    loop.run_in_executor(None, released.wait)
    return loop.shutdown_default_executor(), released.set, None


MAKERS = [
    sleep,
    yield_once,
    wait_for,
    wait_for_nothing_more,
    wait,
    to_thread,
    lock,
    event,
    queue_get,
    queue_put,
    read,
    readline,
    sock_recv,
    shutdown_default_executor,
]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def make(request):
    return request.param


async def first_waits(coro):
    """Has a task await `coro`, up to where that waits."""

    async def awaits():
        return await coro

    task = library.create_task(awaits())
    await library.sleep(0)
    return task


async def passes_on(coro):
    return await coro


@pytest.mark.parametrize(
    "through", ["await", "wait_for", "wait_for without limit", "timeout", "gather", "async def"]
)
def test_second_await_is_refused(make, through):
    async def main():
        coro, release, value = make()
        if make is yield_once and through == "gather":
            # What gather makes of it is a task, and that begins when the first one has gone on already.
            coro.close()
            return
        task = await first_waits(coro)
        with pytest.raises(RuntimeError, match=ALREADY):
            if through == "await":
                await coro
            elif through == "wait_for":
                await library.wait_for(coro, 60)
            elif through == "wait_for without limit":
                await library.wait_for(coro, None)
            elif through == "timeout":
                async with library.timeout(60):
                    await coro
            elif through == "gather":
                await library.gather(passes_on(coro))
            else:
                await passes_on(coro)
        release()
        assert await library.wait_for(task, 30) == value
        with pytest.raises(RuntimeError, match=REUSED):
            await coro

    library.run(main())


@pytest.mark.parametrize("limit", [None, 60])
def test_second_await_of_what_async_def_made(limit):
    """``wait_for`` awaits in Rust what it is given."""

    async def main():
        fut = library.get_running_loop().create_future()
        coro = passes_on(fut)
        task = await first_waits(coro)
        with pytest.raises(RuntimeError, match=ALREADY):
            await library.wait_for(coro, limit)
        fut.set_result("kept")
        assert await task == "kept"

    library.run(main())


def test_closed_while_it_waits(make):
    async def main():
        coro, release, _ = make()
        task = await first_waits(coro)
        coro.close()
        coro.close()
        release()
        if make is not to_thread:
            # What it waited for may never happen: the task is woken by hand.
            task.cancel()
        with pytest.raises((RuntimeError, library.CancelledError)):
            await task
        with pytest.raises(RuntimeError, match=REUSED):
            await coro

    library.run(main())


def test_thrown_into_while_it_waits(make):
    class Thrown(Exception):
        pass

    async def main():
        coro, release, _ = make()
        task = await first_waits(coro)
        with pytest.raises(Thrown):
            coro.throw(Thrown())
        release()
        task.cancel()
        with pytest.raises((RuntimeError, library.CancelledError)):
            await task
        for again in (lambda: coro.send(None), lambda: coro.throw(Thrown())):
            with pytest.raises(RuntimeError, match=REUSED):
                again()

    library.run(main())


def test_sent_to_while_it_waits(make):
    """It yields the future that it waits for once more; a driver that leaves it with that is told so."""

    async def main():
        coro, release, value = make()
        task = await first_waits(coro)
        if make is yield_once:
            with pytest.raises(StopIteration) as ended:
                coro.send(None)
            assert ended.value.value is value
        else:
            assert library.isfuture(coro.send(None))
            assert coro.cr_suspended and coro.cr_await is not None
            with pytest.raises(RuntimeError, match="await wasn't used with future"):
                coro.send(None)
        release()
        task.cancel()
        with pytest.raises((RuntimeError, library.CancelledError)):
            await task

    library.run(main())


def test_executing():
    """It is driven from within its own step."""

    class Comparing(float):
        def __le__(self, other):
            for again in (lambda: coro.send(None), lambda: coro.throw(KeyError), coro.close):
                with pytest.raises(ValueError, match="coroutine already executing"):
                    again()
            assert coro.cr_running and not coro.cr_suspended
            return True

    coro = library.sleep(Comparing(0))
    with pytest.raises(StopIteration):
        for _ in range(2):
            coro.send(None)
