import asyncio


async def fetch(name, after, fails=False):
    try:
        await asyncio.sleep(after)
    except asyncio.CancelledError:
        print(name, "is cancelled")
        raise
    if fails:
        raise ValueError(f"{name} has failed")
    print(name, "is there")


async def main():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fetch("first", 0.01))
            group.create_task(fetch("second", 0.02, fails=True))
            group.create_task(fetch("third", 3600))
    except* ValueError as errors:
        print("failed:", *errors.exceptions)


asyncio.run(main())
