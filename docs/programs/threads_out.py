import asyncio
import time


def blocking():
    time.sleep(0.05)  # a library that knows nothing of loops
    return "done in a thread"


async def tick():
    for _ in range(3):
        await asyncio.sleep(0.01)
        print("the loop goes on")


async def main():
    ticking = asyncio.create_task(tick())
    print(await asyncio.to_thread(blocking))
    await ticking


asyncio.run(main())
