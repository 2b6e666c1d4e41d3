import asyncio


async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(print, "called in the next turn")
    loop.call_later(0.01, print, "called after ten milliseconds")
    print("main goes on")
    await asyncio.sleep(0)  # let others have a turn
    print("main is back")
    await asyncio.sleep(0.02)


asyncio.run(main())
