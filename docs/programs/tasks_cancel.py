import asyncio


async def work():
    print("working")
    try:
        await asyncio.sleep(3600)
    finally:
        print("cleaning up")


async def main():
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("the task was cancelled:", task.cancelled())


asyncio.run(main())
