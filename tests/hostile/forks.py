"""A fork, and both go on: with the same loop, with loops of their own, with what the loop had under way."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
import traceback

from survival import program


def forked(child):
    """Runs *child* in a forked process; a function that waits for its end, which has to be a good one."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def wait():
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == 0, f"the child ended with {status}"

    return wait


def content(letter, size):
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(letter * size)
    return file.name


@program(beyond="has no files")
def files_of_a_loop_that_has_read():
    from ferrio import files

    ours, theirs = content(b"A", 60_000), content(b"B", 300)

    async def read(path, wanted):
        for _ in range(100):
            for data in await asyncio.gather(
                *[asyncio.wait_for(files.read_bytes(path), 60) for _ in range(8)]
            ):
                assert data == wanted

    loop = asyncio.new_event_loop()
    loop.run_until_complete(files.read_bytes(ours))
    wait = forked(lambda: loop.run_until_complete(read(theirs, b"B" * 300)))
    loop.run_until_complete(read(ours, b"A" * 60_000))
    wait()
    loop.run_until_complete(read(ours, b"A" * 60_000))
    loop.close()
    os.unlink(ours)
    os.unlink(theirs)
    return "done"


@program(beyond="has no files")
def files_in_flight():
    """The parent's operation is the parent's; the child's copy of the loop works on."""
    from ferrio import files

    path = content(b"A", 60_000)
    loop = asyncio.new_event_loop()
    read_fd, write_fd = os.pipe()

    async def begin():
        pipe = await files.open(f"/proc/self/fd/{read_fd}", "rb", buffering=0)
        task = asyncio.create_task(pipe.read(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task, pipe

    async def read():
        return await asyncio.wait_for(files.read_bytes(path), 60)

    task, pipe = loop.run_until_complete(begin())

    async def in_child():
        assert len(await read()) == 60_000
        try:
            await asyncio.wait_for(task, 60)
        except OSError as err:
            assert not isinstance(err, TimeoutError)
        else:
            raise AssertionError("the child was given what its parent reads")

    wait = forked(lambda: loop.run_until_complete(in_child()))
    assert len(loop.run_until_complete(read())) == 60_000
    wait()
    os.write(write_fd, b"x")
    assert loop.run_until_complete(asyncio.wait_for(task, 60)) == b"x"
    loop.run_until_complete(pipe.close())
    loop.close()
    os.unlink(path)
    return "done"


async def busy(seconds=None):
    """A bit of everything."""

    async def echo(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\n")
            assert await asyncio.wait_for(reader.readline(), 60) == b"line\n"
            writer.close()
    loop = asyncio.get_running_loop()
    assert await loop.getaddrinfo("127.0.0.1", 80)
    assert await asyncio.wait_for(asyncio.sleep(0.001, 5), 60) == 5


@program(beyond="shares the selector, and the child has none of its executor's threads")
def one_loop_in_both():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(busy())
    wait = forked(lambda: (loop.run_until_complete(busy()), loop.close()))
    loop.run_until_complete(busy())
    wait()
    loop.run_until_complete(busy())
    loop.close()
    return "done"


@program(beyond="shares the selector: what the child gives up its parent loses")
def what_the_child_gives_up_its_parent_keeps():
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    got = []

    def readable():
        got.append(ours.recv(100))
        loop.stop()

    loop.add_reader(ours, readable)
    loop.call_soon(loop.stop)
    loop.run_forever()

    def child():
        assert loop.remove_reader(ours)
        loop.run_until_complete(busy())
        loop.close()

    forked(child)()
    theirs.send(b"data")
    loop.call_later(60, loop.stop)
    loop.run_forever()
    assert got == [b"data"], got
    loop.remove_reader(ours)
    loop.close()
    ours.close()
    theirs.close()
    return "done"


@program(beyond="shares the selector: each is told of what the other watches")
def what_the_child_watches_is_its_own():
    loop = asyncio.new_event_loop()
    a, b = socket.socketpair()
    kept_a, kept_b = socket.socketpair()
    for sock in (a, kept_a):
        sock.setblocking(False)

    def kept_readable():
        # What is shared may have been read in the other process by now.
        with contextlib.suppress(BlockingIOError):
            kept_a.recv(100)
        loop.stop()

    loop.add_reader(kept_a, kept_readable)
    loop.call_soon(loop.stop)
    loop.run_forever()

    def child():
        loop.add_reader(a, lambda: (a.recv(100), loop.stop()))
        b.send(b"x")
        loop.call_later(60, os._exit, 3)
        loop.run_forever()
        # What was watched before the fork is watched here as well.
        kept_b.send(b"x")
        loop.run_forever()

    forked(child)()
    turns = [0]

    def turn():
        turns[0] += 1
        loop.call_soon(turn) if turns[0] < 1000 else loop.stop()

    b.send(b"x")
    turn()
    loop.run_forever()
    assert a.recv(100) == b"x"
    for sock in (a, b, kept_a, kept_b):
        loop.remove_reader(sock)
        sock.close()
    loop.close()
    return "done"


@program()
def signals_reach_the_one_they_are_sent_to():
    loop = asyncio.new_event_loop()
    got = []

    def handle():
        got.append(os.getpid())
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, handle)
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    del got[:]

    def child():
        own = asyncio.new_event_loop()
        own.add_signal_handler(signal.SIGUSR1, lambda: (got.append(os.getpid()), own.stop()))
        own.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        own.run_forever()
        assert got == [os.getpid()]
        own.close()

    forked(child)()
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert got == [], got
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    assert got == [os.getpid()]
    loop.close()
    return "done"


@program()
def fork_while_threads_work():
    """They run loops, look up names, pass things on: the child has none of them, and none of their locks."""
    stop = threading.Event()
    # What is imported late is imported: a fork in the middle of an import leaves the child the module's lock.
    asyncio.run(busy())

    def work():
        async def main():
            loop = asyncio.get_running_loop()
            while not stop.is_set():
                await asyncio.gather(*[loop.getaddrinfo("127.0.0.1", 80) for _ in range(4)])

        asyncio.run(main())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        forked(lambda: asyncio.run(busy()))()
    stop.set()
    for thread in threads:
        thread.join()
    return "done"


@program()
def child_of_a_running_loop():
    async def main():
        wait = forked(lambda: asyncio.run(busy()))
        await busy()
        wait()
        await busy()
        return "done"

    return asyncio.run(main())


@program()
def child_ends_as_python_does():
    """Everything that it has inherited is destroyed there."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(busy())

    async def serve():
        return await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)

    server = loop.run_until_complete(serve())
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    async def connect():
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(connect())
    loop.run_until_complete(busy())
    loop.close()
    return "done"
