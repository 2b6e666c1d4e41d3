"""prompt_toolkit: a selector that selects in a thread, while an input hook has the main one (IPython's `%gui`)."""

import asyncio
import json
import selectors
import threading

from prompt_toolkit.eventloop.inputhook import InputHookSelector

called = 0


def hook(context):
    global called
    called += 1
    pause = threading.Event()
    while not context.input_is_ready():
        pause.wait(0.0005)


async def main():
    async def handler(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    await asyncio.sleep(0.005)
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    data = await reader.read()
    writer.close()
    server.close()
    return [data.decode(), await asyncio.to_thread(lambda: "thread")]


loop = asyncio.SelectorEventLoop(InputHookSelector(selectors.DefaultSelector(), hook))
seen = loop.run_until_complete(main())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
print(json.dumps([*seen, called > 0]))
