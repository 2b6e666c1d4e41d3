import asyncio
import threading


async def main():
    loop = asyncio.get_running_loop()

    async def double(number):
        return 2 * number

    def in_a_thread():
        print(asyncio.run_coroutine_threadsafe(double(21), loop).result())
        loop.call_soon_threadsafe(done.set)

    done = asyncio.Event()
    threading.Thread(target=in_a_thread).start()
    await done.wait()


asyncio.run(main())
