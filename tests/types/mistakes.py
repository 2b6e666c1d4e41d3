"""Mistakes that a type checker has to find; never run."""

import ferrio as asyncio
from ferrio import extras, files


async def number() -> int:
    return 1


async def main() -> None:
    text: str = await number()  # wrong
    async with asyncio.TaskGroup() as group:
        task: asyncio.Task[str] = group.create_task(number())  # wrong
        group.cancel("why")  # wrong
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait("one")  # wrong
    queue.shutdown(1, 2)  # wrong
    extras.RateLimiter("fast")  # wrong
    async with files.open("name") as file:
        await file.write(b"bytes")  # wrong
    missing = asyncio.no_such_name  # wrong
    print(text, task, missing)
