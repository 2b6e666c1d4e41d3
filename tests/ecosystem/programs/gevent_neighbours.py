"""A loop in a program that gevent has patched: other greenlets run while it waits, and executors work."""

import asyncio
import json
import time

import gevent
import gevent.event
from gevent import monkey

# In their places, so that it does not matter what has imported them.
monkey.patch_all()


async def echo(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


async def main():
    loop = asyncio.get_running_loop()
    said = {}
    said["executor"] = await loop.run_in_executor(None, lambda: (time.sleep(0.01), 7)[1])
    said["to_thread"] = await asyncio.to_thread(sum, (1, 2))
    said["addresses"] = bool(await loop.getaddrinfo("127.0.0.1", 80))

    # The other greenlet and this task take turns, each waiting for the other.
    to_greenlet, to_task, passed = gevent.event.Event(), asyncio.Event(), []

    def other():
        for _ in range(20):
            to_greenlet.wait()
            to_greenlet.clear()
            passed.append("greenlet")
            loop.call_soon_threadsafe(to_task.set)

    greenlet = gevent.spawn(other)
    for _ in range(20):
        passed.append("task")
        to_greenlet.set()
        await to_task.wait()
        to_task.clear()
    greenlet.join()
    said["turns"] = passed == ["task", "greenlet"] * 20

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"line\n")
    said["line"] = (await reader.readline()).decode()
    writer.close()
    server.close()

    ran = []
    idle = gevent.spawn(lambda: [gevent.sleep(0.001) or ran.append(i) for i in range(3)])
    while len(ran) < 3:
        await asyncio.sleep(0.01)
    idle.join()
    said["idle"] = ran
    return said


print(json.dumps(asyncio.run(asyncio.wait_for(main(), 60))))
