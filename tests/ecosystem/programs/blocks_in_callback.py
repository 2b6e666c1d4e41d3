"""Blocks in a callback of the loop until its standard input ends, so that the stack can be looked at."""

import asyncio
import os


def blocks():
    print("blocked", flush=True)
    os.read(0, 1)


async def main():
    asyncio.get_running_loop().call_soon(blocks)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


asyncio.run(main())
