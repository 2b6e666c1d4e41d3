"""Tasks that wait in every way that a listing tells apart; says `ready` when they do.

An argument says how the loop stands then: `idle` in the kernel, `busy` in Python code, or `blocked` in a call.
"""

import asyncio
import os
import sys
import time


async def leaf(future):
    await future


async def awaits(task):
    await task


async def limited(future):
    await asyncio.wait_for(leaf(future), 3600)


async def queued():
    await asyncio.Queue().get()


def spin():
    while True:
        pass


async def main(how):
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    inner = asyncio.create_task(leaf(future), name="inner")
    tasks = [
        inner,
        asyncio.create_task(awaits(inner), name="outer"),
        asyncio.create_task(limited(future), name="limited"),
        asyncio.create_task(queued(), name="quäued\n"),
        asyncio.create_task(asyncio.sleep(3600)),
    ]
    one, two = (asyncio.create_task(leaf(future), name=name) for name in ("circle one", "circle two"))
    asyncio.future_add_to_awaited_by(one, two)
    asyncio.future_add_to_awaited_by(two, one)
    for _ in range(5):
        await asyncio.sleep(0)
    print("ready", os.getpid(), flush=True)
    if how == "busy":
        spin()
    if how == "blocked":
        time.sleep(3600)
    await asyncio.gather(*tasks, return_exceptions=True)


asyncio.run(main(sys.argv[1]))
