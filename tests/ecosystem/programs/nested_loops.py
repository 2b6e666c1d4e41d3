"""nest_asyncio: loops that run inside of a task, in Python turns over the loop's own queue and timers."""

import asyncio
import json

import nest_asyncio


async def later(value):
    await asyncio.sleep(0.001)
    return value


async def echo():
    async def handler(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    data = await reader.read()
    writer.close()
    server.close()
    return data.decode()


async def main():
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    seen = [loop.run_until_complete(later(1)), asyncio.run(later(2)), loop.run_until_complete(echo())]

    async def background():
        await asyncio.sleep(0.01)
        seen.append("background")

    other = asyncio.create_task(background())
    seen.append(loop.run_until_complete(asyncio.wait_for(later(3), 30)))
    await other
    try:
        loop.run_until_complete(asyncio.wait_for(asyncio.sleep(30), 0.01))
    except TimeoutError:
        seen.append("timeout")
    async with asyncio.timeout(30):
        seen += await asyncio.gather(later(4), asyncio.to_thread(lambda: 5))
    seen.append(asyncio.current_task() is task)
    return seen


nest_asyncio.apply()
print(json.dumps([asyncio.run(main()), asyncio.run(main())]))
