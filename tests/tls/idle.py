"""How much an idle TLS connection takes: `idle.py COUNT` prints bytes of resident memory per connection.

Both ends are on this loop, and have talked; each counts.
"""

import asyncio
import ctypes
import gc
import sys

import contexts


def resident():
    """Bytes, without the allocators' own reserves."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


async def main(count):
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts.server_context())
    address = server.sockets[0].getsockname()
    context = contexts.client_context()
    kept = []

    async def open_some(number):
        for _ in range(number):
            reader, writer = await asyncio.open_connection(*address, ssl=context)
            writer.write(b"x" * 20_000 + b"\n")
            assert len(await reader.readline()) == 20_001
            kept.append(writer)

    await open_some(30)
    before = resident()
    await open_some(count)
    print((resident() - before) // (2 * count), flush=True)
    for writer in kept:
        writer.transport.abort()
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
