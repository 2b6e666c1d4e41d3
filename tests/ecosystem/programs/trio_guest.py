"""trio-asyncio: asyncio's code in a loop that trio runs; queue, timers and readers are trio's."""

import asyncio
import json

import trio
import trio_asyncio


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
    await trio_asyncio.trio_as_aio(trio.sleep)(0.001)
    return data.decode()


async def timed():
    return await asyncio.wait_for(asyncio.sleep(0.001, "slept"), 30)


async def main():
    seen = [await trio_asyncio.aio_as_trio(echo)(), await trio_asyncio.aio_as_trio(timed)()]
    with trio.move_on_after(0.01) as scope:
        await trio_asyncio.aio_as_trio(asyncio.sleep)(30)
    return [*seen, scope.cancelled_caught]


print(json.dumps(trio_asyncio.run(main)))
