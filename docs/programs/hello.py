import asyncio


async def say(after, word):
    await asyncio.sleep(after)
    print(word)


async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(say(0.03, "three"))
        group.create_task(say(0.01, "one"))
        group.create_task(say(0.02, "two"))
    print("done, with", asyncio.__name__)


asyncio.run(main())
