"""Several processes that accept on one port: the kernel spreads the connections."""

import asyncio
import multiprocessing
import os
import socket

PROCESSES = 2


def listener(port=0):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


async def answer(reader, writer):
    writer.write(str(os.getpid()).encode())
    writer.close()


async def serve(port, ready):
    server = await asyncio.start_server(answer, sock=listener(port))
    ready.release()
    await server.serve_forever()


def process(port, ready):
    asyncio.run(serve(port, ready))


async def ask(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    pid = await reader.read()
    writer.close()
    return int(pid)


async def main(port):
    return {await ask(port) for _ in range(100)}


if __name__ == "__main__":
    reserved = listener()  # bound, and never listens: it keeps the port for the others
    port = reserved.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ready = context.Semaphore(0)
    workers = [context.Process(target=process, args=(port, ready)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    print(len(asyncio.run(main(port))), "processes have answered")
    for worker in workers:
        worker.terminate()
        worker.join()
