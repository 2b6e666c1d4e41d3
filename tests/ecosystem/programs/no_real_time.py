"""async-solipsism: a selector with a clock of its own that refuses to wait for what cannot come."""

import asyncio
import json

import async_solipsism


async def main():
    begun = loop.time()
    await asyncio.sleep(1000)
    task = asyncio.ensure_future(asyncio.sleep(5))
    done, _ = await asyncio.wait([task], timeout=2)
    seen = [loop.time() - begun, len(done)]
    await task
    return [*seen, loop.time() - begun]


async def sleep_forever():
    await loop.create_future()


loop = async_solipsism.EventLoop()
seen = loop.run_until_complete(main())
task = loop.create_task(sleep_forever())
try:
    loop.run_until_complete(task)
except async_solipsism.SleepForeverError:
    seen.append("for ever")
task.cancel()
loop.run_until_complete(asyncio.wait([task]))
loop.close()
print(json.dumps(seen))
