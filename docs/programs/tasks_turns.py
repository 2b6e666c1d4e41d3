import asyncio


async def count(name):
    for number in range(2):
        print(name, number)
        await asyncio.sleep(0)


async def main():
    first = asyncio.create_task(count("first"))
    second = asyncio.create_task(count("second"))
    await first
    await second


asyncio.run(main())
