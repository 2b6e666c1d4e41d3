"""aiomultiprocess: coroutines in a pool of worker processes, each with a loop of its own."""

import asyncio
import json

import aiomultiprocess


async def work(number):
    """What a worker does: it awaits, and starts a child of its own."""
    await asyncio.sleep(0)
    process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {number}")
    return number, await process.wait()


async def fails(number):
    raise ValueError(number)


async def main():
    said = {}
    async with aiomultiprocess.Pool(processes=2) as pool:
        said["map"] = await pool.map(work, range(10))
        try:
            await pool.apply(fails, (3,))
        except Exception as exc:
            said["failed"] = type(exc).__name__
    said["worker"] = await aiomultiprocess.Worker(target=work, args=(7,))
    return said


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
