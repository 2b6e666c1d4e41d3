"""A program that type checkers read, and that never runs: ferrio's types are asyncio's, and more."""

from __future__ import annotations

import asyncio as stock
from collections.abc import Awaitable, Callable
from pathlib import Path

import ferrio
import ferrio as asyncio
from ferrio import extras, files


def library(task: stock.Task[int], loop: stock.AbstractEventLoop, lock: stock.Lock) -> stock.Future[int]:
    """A library that knows stock asyncio only."""
    loop.call_soon(print, lock.locked())
    return task


async def compute(number: int) -> int:
    await asyncio.sleep(0)
    return number * number


async def groups() -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(compute(number)) for number in range(3)]
        group.cancel()
    results: tuple[int, int] = await asyncio.gather(compute(1), compute(2))
    fut = library(tasks[0], asyncio.get_running_loop(), asyncio.Lock())
    return [*results, await fut]


async def queues() -> str:
    queue: asyncio.Queue[str] = asyncio.Queue(10)
    await queue.put("one")
    queue.shutdown(immediate=True)
    try:
        return await queue.get()
    except asyncio.QueueShutDown:
        return "none"


async def streams() -> bytes:
    reader, writer = await asyncio.open_connection("localhost", 80, ssl=True)
    writer.write(b"data")
    await writer.drain()
    async with asyncio.timeout(1):
        return await reader.readline()


async def children() -> int | None:
    child = await asyncio.create_subprocess_exec("true", stdout=asyncio.subprocess.PIPE)
    await child.communicate()
    return child.returncode


async def beyond(path: Path) -> int:
    limiter = extras.RateLimiter(10, burst=2)
    async with limiter:
        squares: list[int] = await extras.gather_limited(2, compute(1), compute(2))
    total = 0
    async for number in extras.map_limited(compute, [1, 2, 3], limit=2):
        total += number
    queue: extras.ThreadQueue[bytes] = extras.ThreadQueue()
    queue.put(b"item")
    total += len(await queue.aget())
    async with files.open(path) as text:
        line: str = await text.readline()
    binary = await files.open(path, "rb")
    data: bytes = await binary.read()
    await binary.close()
    return total + len(line) + len(data) + sum(squares)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


def ways(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await main()

    ferrio.install()
    asyncio.run(run())
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(run())
    graph = asyncio.capture_call_graph()
    if graph is not None:
        print(graph.call_stack, asyncio.format_call_graph())
    factory: stock.AbstractEventLoop = asyncio.EventLoop()
    factory.set_task_factory(asyncio.eager_task_factory)
