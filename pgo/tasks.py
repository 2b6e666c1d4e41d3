"""What programs do within one loop: tasks and futures, timers, locks and queues, threads, pipes, files and names.

Each function is a program of its own. The numbers are weights: what programs do all the time comes by the ten
thousand, what they do now and then by the hundred.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import ferrio.files

OFTEN = 20_000
SOMETIMES = 1_000
REQUEST: contextvars.ContextVar[int] = contextvars.ContextVar("request", default=0)


async def _work(value: int) -> int:
    return value


async def _work_with_a_wait(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def tasks() -> None:
    """Tasks made, awaited, looked at and given callbacks."""
    for i in range(OFTEN):
        assert await asyncio.create_task(_work(i)) == i
    for i in range(OFTEN):
        assert await asyncio.create_task(_work_with_a_wait(i)) == i
    done: list[str] = []
    for i in range(SOMETIMES):
        task = asyncio.create_task(_work_with_a_wait(i), name=f"task {i}")
        task.add_done_callback(lambda task: done.append(task.get_name()))
        await task
        task.result(), task.exception(), task.done(), task.cancelled(), task.get_coro(), repr(task)
    assert len(done) == SOMETIMES


async def crowds() -> None:
    """Many tasks that wait for each other and for nothing in particular."""

    async def yielding() -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    await asyncio.gather(*(yielding() for _ in range(500)))
    for _ in range(SOMETIMES // 4):
        await asyncio.gather(*map(_work_with_a_wait, range(20)))
        async with asyncio.TaskGroup() as group:
            for i in range(20):
                group.create_task(_work_with_a_wait(i))
        await asyncio.wait([asyncio.create_task(_work(i)) for i in range(5)])
        await asyncio.wait(
            [asyncio.create_task(_work_with_a_wait(i)) for i in range(5)], return_when=asyncio.FIRST_COMPLETED
        )
        for earliest in asyncio.as_completed([_work_with_a_wait(i) for i in range(5)]):
            await earliest
        await asyncio.shield(_work_with_a_wait(1))


async def failures() -> None:
    """Tasks that raise, and tasks that are cancelled, alone and in groups."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("as it should")

    async def wait_long() -> None:
        await asyncio.sleep(3600)

    for _ in range(SOMETIMES):
        with suppress(ValueError):
            await fail()
        with suppress(ValueError):
            await asyncio.create_task(fail())
        waiting = asyncio.create_task(wait_long())
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
    for _ in range(SOMETIMES // 10):
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(wait_long())
        await asyncio.gather(fail(), _work(1), return_exceptions=True)


async def futures() -> None:
    """Futures that one task sets and another waits for."""
    loop = asyncio.get_running_loop()

    async def set_later(future: asyncio.Future[int]) -> None:
        future.set_result(1)

    for _ in range(OFTEN):
        future: asyncio.Future[int] = loop.create_future()
        loop.call_soon(future.set_result, 1)
        await future
    for _ in range(SOMETIMES):
        future = loop.create_future()
        task = asyncio.create_task(set_later(future))
        await future
        await task
        future = loop.create_future()
        future.add_done_callback(lambda _: None)
        future.set_exception(ValueError("as it should"))
        with suppress(ValueError):
            await future


async def timers() -> None:
    """Timers that fire, far more that are cancelled, timeouts that are not reached and some that are."""
    loop = asyncio.get_running_loop()
    for _ in range(OFTEN):
        loop.call_later(30, print).cancel()
    for _ in range(OFTEN // 2):
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
        await asyncio.wait_for(_work_with_a_wait(1), 30)
    await asyncio.gather(*(asyncio.sleep(i / 100_000) for i in range(SOMETIMES)))
    for _ in range(SOMETIMES // 4):
        await asyncio.sleep(0.0001)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.0001):
                await asyncio.sleep(30)
        loop.call_at(loop.time() + 0.0001, int)


async def callbacks() -> None:
    """Callbacks that schedule the next, in contexts of their own too, and from other threads."""
    loop = asyncio.get_running_loop()
    end: asyncio.Future[None] = loop.create_future()

    def count(left: int) -> None:
        if left:
            loop.call_soon(count, left - 1)
        else:
            end.set_result(None)

    loop.call_soon(count, 5 * OFTEN)
    await end
    context = contextvars.copy_context()
    for i in range(SOMETIMES):
        loop.call_soon(REQUEST.set, i, context=context)
        await asyncio.sleep(0)
    for _ in range(SOMETIMES):
        await asyncio.to_thread(int)
        await loop.run_in_executor(None, int)

    def from_a_thread() -> None:
        for i in range(SOMETIMES):
            loop.call_soon_threadsafe(int, i)
            asyncio.run_coroutine_threadsafe(_work(i), loop).result()

    await asyncio.to_thread(from_a_thread)


async def locks() -> None:
    """Each kind of lock, free and fought over."""
    lock, semaphore, condition, event = (
        asyncio.Lock(),
        asyncio.Semaphore(3),
        asyncio.Condition(),
        asyncio.Event(),
    )

    async def take_turns() -> None:
        for _ in range(SOMETIMES // 5):
            async with lock:
                await asyncio.sleep(0)
            async with semaphore:
                await asyncio.sleep(0)
            async with condition:
                condition.notify()
            event.set()
            await event.wait()
            event.clear()

    for _ in range(OFTEN):
        async with lock:
            pass
        async with semaphore:
            pass
    await asyncio.gather(*(take_turns() for _ in range(10)))
    barrier = asyncio.Barrier(5)
    for _ in range(SOMETIMES // 10):
        await asyncio.gather(*(barrier.wait() for _ in range(5)))

    async def wait_for_it() -> None:
        async with condition:
            await condition.wait()

    for _ in range(SOMETIMES):
        waiting = asyncio.create_task(wait_for_it())
        await asyncio.sleep(0)
        async with condition:
            condition.notify_all()
        await waiting


async def queues() -> None:
    """Producers and consumers, with and without a bound."""
    kinds: tuple[Callable[[], asyncio.Queue[int]], ...] = (
        asyncio.Queue,
        lambda: asyncio.Queue(8),
        asyncio.LifoQueue,
        asyncio.PriorityQueue,
    )
    for kind in kinds:
        queue = kind()

        async def consume(queue: asyncio.Queue[int] = queue) -> None:
            while await queue.get() >= 0:
                queue.task_done()

        consumer = asyncio.create_task(consume())
        for i in range(OFTEN // 4):
            await queue.put(i)
        await queue.join()
        queue.put_nowait(-1)
        await consumer


async def generators() -> None:
    """Async generators, run out and left early, and async comprehensions."""

    async def count(n: int) -> AsyncIterator[int]:
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    for _ in range(SOMETIMES // 4):
        assert len([i async for i in count(10)]) == 10
        async for i in count(10):
            if i == 3:
                break


async def eager_tasks() -> None:
    """The eager task factory of 3.12."""
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        return
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    for i in range(OFTEN // 4):
        await asyncio.create_task(_work(i))
        await asyncio.create_task(_work_with_a_wait(i))
    loop.set_task_factory(None)


async def descriptors() -> None:
    """Readers and writers of descriptors, pipes, signals."""
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        for _ in range(SOMETIMES):
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(here, readable.set_result, None)
            there.send(b"x")
            await readable
            loop.remove_reader(here)
            here.recv(1)
            writable: asyncio.Future[None] = loop.create_future()
            loop.add_writer(here, writable.set_result, None)
            await writable
            loop.remove_writer(here)
    read_fd, write_fd = os.pipe()
    reader = asyncio.StreamReader()
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb")
    )
    writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write_fd, "wb"))
    for _ in range(SOMETIMES):
        writing.write(b"line\n")
        assert await reader.readline() == b"line\n"
    writing.close()
    reading.close()
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, interrupted.set)
    for _ in range(SOMETIMES // 10):
        os.kill(os.getpid(), signal.SIGUSR1)
        await interrupted.wait()
        interrupted.clear()
    loop.remove_signal_handler(signal.SIGUSR1)


async def files_and_names() -> None:
    """Files, and addresses of names."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "lines")
        async with ferrio.files.open(path, "w") as file:
            for i in range(SOMETIMES):
                await file.write(f"line {i}\n")
        async with ferrio.files.open(path) as file:
            async for _ in file:
                pass
        async with ferrio.files.open(path, "rb") as file:
            while await file.read(4096):
                pass
    for _ in range(SOMETIMES // 10):
        await loop.getaddrinfo("127.0.0.1", 80)
        await loop.getaddrinfo("localhost", 80)
        await loop.getnameinfo(("127.0.0.1", 80))


PROGRAMS: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (
    tasks,
    crowds,
    failures,
    futures,
    timers,
    callbacks,
    locks,
    queues,
    generators,
    eager_tasks,
    descriptors,
    files_and_names,
)
