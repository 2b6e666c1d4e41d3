"""aiotools: a virtual clock that patches `loop._selector.select` for a while, in the middle of a run."""

import asyncio
import contextlib
import json

import aiotools


async def main():
    clock = aiotools.VirtualClock()
    ticks = []
    with clock.patch_loop():
        begun = clock.virtual_time()
        await asyncio.sleep(3600)

        async def tick(interval):
            ticks.append(round(clock.virtual_time() - begun))

        timer = aiotools.create_timer(tick, 10.0)
        await asyncio.sleep(35)
        timer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await timer
    await asyncio.sleep(0.001)
    return ticks


print(json.dumps(asyncio.run(main())))
