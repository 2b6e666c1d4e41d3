"""Connections that are opened and closed: `connects.py COUNT` prints a JSON line per round.

Each has a handshake, a line each way, and one of several ends. The counts are of what a process must not gain: resident
memory, the interpreter's blocks and objects, file descriptors.
"""

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import sys

import contexts

ROUNDS = 5
AT_ONCE = 20


def resident_kib():
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def measure():
    for _ in range(3):
        gc.collect()
    return {
        "objects": len(gc.get_objects()),
        "contexts": sum(type(thing).__name__ == "SSLContext" for thing in gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "rss": resident_kib(),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


async def serve(reader, writer):
    with contextlib.suppress(ConnectionError):
        writer.write(await reader.readline())
        await writer.drain()
        await reader.read()
        writer.close()
        await writer.wait_closed()


async def client(number, address, context):
    reader, writer = await asyncio.open_connection(*address, ssl=context)
    writer.write(b"hello\n")
    end = number % 3
    if end < 2:
        assert await reader.readline() == b"hello\n"
    if end == 0:
        writer.transport.abort()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def refused(address, context):
    with contextlib.suppress(ConnectionError, contexts.ssl.SSLError):
        await asyncio.open_connection(*address, ssl=context, server_hostname="example.org")


async def one_round(count):
    # A context for each round: all of them but the last have to go.
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=contexts.server_context())
    address = server.sockets[0].getsockname()
    context = contexts.client_context()
    for start in range(0, count, AT_ONCE):
        clients = [client(number, address, context) for number in range(start, start + AT_ONCE)]
        await asyncio.gather(*clients, refused(address, context))
    server.close()
    await server.wait_closed()
    for _ in range(20):
        await asyncio.sleep(0)


def main(count):
    with asyncio.Runner() as runner:
        # A refused handshake is reported in debug mode only; an aborted one may be a reset at the other end.
        runner.get_loop().set_exception_handler(lambda loop, context: None)
        per_round = max(AT_ONCE, count // ROUNDS)
        for _ in range(ROUNDS + 1):
            runner.run(one_round(per_round))
            print(json.dumps(measure()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
