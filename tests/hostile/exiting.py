"""The interpreter ends while a daemon thread is at work in a loop, or for one.

``python exiting.py WORK ENDING``: WORK is what the thread does, ENDING how the main thread ends.
"""

import asyncio
import contextlib
import gc
import sys
import tempfile
import threading
import time

WORK = {}
BEYOND = set()
"""Work with what asyncio does not have."""


def work(function):
    WORK[function.__name__] = function
    return function


def beyond(function):
    BEYOND.add(function.__name__)
    return work(function)


at_work = threading.Event()


def runs(main):
    """The work is a coroutine function that never returns."""

    def start():
        asyncio.run(main())

    start.__name__ = main.__name__
    work(start)
    return start


@runs
async def computing():
    at_work.set()
    while True:
        pass


@runs
async def calling_back():
    loop = asyncio.get_running_loop()

    def again():
        loop.call_soon(again)

    for _ in range(10):
        again()
    await asyncio.sleep(0)
    at_work.set()
    await loop.create_future()


@runs
async def switching_tasks():
    async def switch():
        while True:
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(switch()) for _ in range(20)]
    at_work.set()
    await asyncio.wait(tasks)


@runs
async def waiting():
    at_work.set()
    await asyncio.get_running_loop().create_future()


@runs
async def waiting_for_timers():
    async def tick():
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.sleep(1), 0.0005)

    ticks = [asyncio.create_task(tick()) for _ in range(5)]
    at_work.set()
    await asyncio.wait(ticks)


@runs
async def using_native_coroutines():
    async def one(lock, queue):
        while True:
            async with asyncio.timeout(10), lock:
                await queue.put(0)
                await asyncio.wait_for(queue.get(), 10)
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            await asyncio.gather(asyncio.sleep(0), asyncio.shield(asyncio.sleep(0)))
            await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0))])

    lock, queue = asyncio.Lock(), asyncio.Queue()
    tasks = [asyncio.create_task(one(lock, queue)) for _ in range(5)]
    at_work.set()
    await asyncio.wait(tasks)


@runs
async def using_the_executor():
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, time.sleep, 0)
    at_work.set()
    while True:
        # Executors are shut down as the interpreter ends.
        with contextlib.suppress(RuntimeError):
            await asyncio.gather(*[loop.run_in_executor(None, time.sleep, 0.0001) for _ in range(4)])
        await asyncio.sleep(0)


@runs
async def resolving():
    loop = asyncio.get_running_loop()
    at_work.set()
    while True:
        with contextlib.suppress(RuntimeError):
            await asyncio.gather(*[loop.getaddrinfo("localhost", 80) for _ in range(4)])
        await asyncio.sleep(0)


@runs
async def talking_over_streams():
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()

    async def talk(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            writer.write(b"line\n")
            await writer.drain()
            await reader.readline()
            at_work.set()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(*[talk(port) for _ in range(5)])


@runs
async def talking_over_transports():
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    class Talk(Echo):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"data")
            at_work.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for _ in range(5):
        await loop.create_connection(Talk, "127.0.0.1", port)
    await loop.create_future()


@runs
async def destroying():
    class Node:
        def __del__(self):
            for _ in range(100):
                pass

    at_work.set()
    while True:
        for _ in range(50):
            fut = asyncio.get_running_loop().create_future()
            fut.set_result(Node())
            fut.cycle = [fut]
        gc.collect(0)


@runs
async def comparing():
    """Python code that is entered from the middle of a native method."""

    class Callback:
        def __call__(self, fut):
            pass

        def __eq__(self, other):
            for _ in range(100):
                pass
            return False

        __hash__ = None

    fut = asyncio.get_running_loop().create_future()
    for _ in range(50):
        fut.add_done_callback(Callback())
    at_work.set()
    while True:
        fut.remove_done_callback(Callback())


@work
def calling_from_a_thread():
    async def serve():
        loops.append(asyncio.get_running_loop())
        await asyncio.get_running_loop().create_future()

    loops = []
    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    while not loops:
        time.sleep(0.001)
    at_work.set()
    while True:
        loops[0].call_soon_threadsafe(int)


@work
def running_coroutines_from_a_thread():
    async def serve():
        loops.append(asyncio.get_running_loop())
        await asyncio.get_running_loop().create_future()

    async def one():
        await asyncio.sleep(0)

    loops = []
    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    while not loops:
        time.sleep(0.001)
    at_work.set()
    while True:
        asyncio.run_coroutine_threadsafe(one(), loops[0]).result()


@work
def one_loop_after_the_other():
    at_work.set()
    while True:
        asyncio.run(asyncio.sleep(0))


@beyond
def waiting_in_a_thread_queue():
    from ferrio.extras import ThreadQueue

    queue = ThreadQueue()
    at_work.set()
    queue.get()


@beyond
def passing_through_a_thread_queue():
    from ferrio.extras import ThreadQueue

    queue = ThreadQueue(1)

    def put():
        while True:
            queue.put(0)

    threading.Thread(target=put, daemon=True).start()

    async def get():
        at_work.set()
        while True:
            await queue.aget()

    asyncio.run(get())


@beyond
def reading_files():
    from ferrio import files

    async def read(path):
        while True:
            assert len(await files.read_bytes(path)) == 100_000
            at_work.set()

    async def main():
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(100_000))
            file.flush()
            await asyncio.gather(*[read(file.name) for _ in range(5)])

    asyncio.run(main())


class Left(Exception):
    pass


def end_by_returning():
    pass


def end_by_sys_exit():
    sys.exit(3)


def end_by_an_exception():
    raise Left


def end_while_it_runs_a_loop():
    """The main thread has run one as well, and left it unclosed."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


ENDINGS = {
    "return": (end_by_returning, 0),
    "sys.exit": (end_by_sys_exit, 3),
    "exception": (end_by_an_exception, 1),
    "loop": (end_while_it_runs_a_loop, 0),
}


if __name__ == "__main__":
    name, ending = sys.argv[1:]
    sys.setswitchinterval(1e-4)
    threading.Thread(target=WORK[name], daemon=True).start()
    if not at_work.wait(60):
        raise SystemExit("the thread does not work")
    ENDINGS[ending][0]()
