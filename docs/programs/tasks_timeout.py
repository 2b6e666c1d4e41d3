import asyncio


async def main():
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(3600)
    except TimeoutError:
        print("too slow")


asyncio.run(main())
