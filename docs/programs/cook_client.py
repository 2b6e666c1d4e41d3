"""A client that asks many, some at a time, each with a timeout, and again after an error."""

import asyncio
import random


async def ask(port, number):
    """One request over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{number}\n".encode())
        await writer.drain()
        answer = await reader.readline()
        if not answer:
            raise ConnectionError("the server has hung up")
        return int(answer)
    finally:
        writer.close()


async def ask_until_answered(port, number, *, attempts=5, timeout=0.5):
    """Ask again after a failure, after a pause that doubles each time and is never quite the same."""
    pause = 0.01
    while True:
        try:
            async with asyncio.timeout(timeout):
                return await ask(port, number)
        except (OSError, TimeoutError):
            attempts -= 1
            if not attempts:
                raise
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        pause *= 2


async def main():
    async def unreliable(reader, writer):
        number = int(await reader.readline())
        if random.random() < 0.8:
            writer.write(f"{number * number}\n".encode())
        writer.close()

    random.seed(1)
    server = await asyncio.start_server(unreliable, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    at_once = asyncio.Semaphore(10)

    async def limited(number):
        async with at_once:
            return await ask_until_answered(port, number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(limited(number)) for number in range(100)]
    print(sum(task.result() for task in tasks))
    server.close()


asyncio.run(main())
