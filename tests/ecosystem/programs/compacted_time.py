"""looptime: a loop whose class is changed while it lives, and whose selector's `select()` is replaced."""

import asyncio
import json

import looptime


async def main():
    loop = asyncio.get_running_loop()
    begun = loop.time()
    seen = []

    def note(what):
        seen.append([what, round(loop.time() - begun)])

    await asyncio.sleep(100)
    note("slept")
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 50)
    except TimeoutError:
        note("timed out")
    async with asyncio.timeout(1000):
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(7))
    note("gathered")
    seen.append(await loop.run_in_executor(None, lambda: "thread"))
    return seen


loop = looptime.new_event_loop()
print(json.dumps(loop.run_until_complete(main())))
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
