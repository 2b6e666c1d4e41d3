"""A great many tasks; says `ready`, and keeps note of how long its loop stands still at most, until its input ends."""

import asyncio
import sys
import time


async def level(depth, event):
    if depth:
        await level(depth - 1, event)
    else:
        await event.wait()


async def main(count):
    event = asyncio.Event()
    tasks = [asyncio.create_task(level(1, event)) for _ in range(count)]
    await asyncio.sleep(0)
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    print("ready", flush=True)
    longest, before = 0.0, time.perf_counter()
    while not end.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    print("longest", longest, flush=True)
    event.set()
    await asyncio.wait(tasks)


asyncio.run(main(int(sys.argv[1])))
