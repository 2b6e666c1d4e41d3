"""What may go wrong while an operation is under way: cancellation, other tasks, the end of the loop."""

import gc
import os
import signal
import socket
import threading
import warnings
import weakref

import ferrio
import pytest
from ferrio import files


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.fixture
def pipe():
    """The two descriptors; a test that has given one to a file to close says so."""
    ends = dict(zip(("read", "write"), os.pipe(), strict=True))
    yield ends
    for end in ends.values():
        os.close(end)


async def started(coro):
    """A task that has taken its first steps."""
    task = ferrio.create_task(coro)
    for _ in range(3):
        await ferrio.sleep(0)
    return task


async def cancelled(task):
    task.cancel()
    with pytest.raises(ferrio.CancelledError):
        await task


def test_the_loop_goes_on_meanwhile(run, fifo):
    """Opening and reading wait for somebody whom this very loop has to start."""

    async def other():
        async with files.open(fifo, "wb") as file:
            await file.write(b"hello")

    async def main():
        writing = ferrio.create_task(other())
        async with files.open(fifo, "rb") as file:
            assert await file.read() == b"hello"
        await writing

    run(main())


def test_other_threads_go_on_meanwhile(run, fifo):
    """Were the GIL held, the thread could never open its end."""

    def other():
        with open(fifo, "wb") as file:
            file.write(b"hello")

    async def main():
        thread = threading.Thread(target=other)
        thread.start()
        assert await files.read_bytes(fifo) == b"hello"
        thread.join()

    run(main())


def test_a_cancelled_read_loses_nothing(run, pipe):
    async def main():
        file = await files.open(pipe.pop("read"), "rb")
        for data in (b"first", b"second"):
            await cancelled(await started(file.read1()))
            os.write(pipe["write"], data)
            assert await file.read1() == data
        await file.close()

    run(main())


def test_a_read_cancelled_when_it_is_done_loses_nothing(run, path):
    """The data has arrived and the task has not been resumed: another one gets it."""
    path.write_bytes(b"0123456789" * 1000)

    async def main():
        async with files.open(path, "rb", 100) as file:
            got = b""
            while len(got) < 10_000:
                task = ferrio.create_task(file.read(7))
                await ferrio.sleep(0)
                task.cancel()
                try:
                    got += await task
                except ferrio.CancelledError:
                    got += await file.read(3)
                assert await file.tell() == len(got)
            assert got == path.read_bytes()

    run(main())


@pytest.mark.parametrize("method", ["read", "readline", "readlines"])
def test_a_cancelled_text_operation_takes_no_text(run, pipe, method):
    async def main():
        file = await files.open(pipe.pop("read"), encoding="utf-8")
        os.write(pipe["write"], b"half a line \xc3")
        reading = await started(getattr(file, method)())
        # It has what there is once the pipe is empty.
        while pending(pipe, file):
            await ferrio.sleep(0)
        await cancelled(reading)
        os.write(pipe["write"], b"\xa9\nnext")
        os.close(pipe.pop("write"))
        assert await file.read() == "half a line é\nnext"
        await file.close()

    def pending(pipe, file):
        import fcntl
        import termios

        return int.from_bytes(fcntl.ioctl(file.fileno(), termios.FIONREAD, b"\0" * 4), "little")

    run(main())


def test_a_cancelled_write_is_written_once(run, pipe):
    data = bytes(range(256)) * 4096

    async def main():
        file = await files.open(pipe.pop("write"), "wb")
        # More than a pipe holds.
        await cancelled(await started(file.write(data)))
        received = []

        def drain():
            with open(pipe.pop("read"), "rb") as other:
                received.append(other.read())

        thread = threading.Thread(target=drain)
        thread.start()
        await file.write(b"end")
        await file.close()
        await ferrio.to_thread(thread.join)
        assert received == [data + b"end"]

    run(main())


def test_a_cancelled_close_is_carried_through(run, pipe):
    data = b"x" * 1_000_000

    async def main():
        file = await files.open(pipe.pop("write"), "wb", 2_000_000)
        await file.write(data)
        await cancelled(await started(file.close()))
        received = await files.read_bytes(pipe["read"])
        assert len(received) == len(data)
        assert file.closed
        pipe.pop("read")

    run(main())


def test_async_with_closes_what_a_cancellation_leaves(run, path):
    async def use(entered):
        async with files.open(path, "wb") as file:
            await file.write(b"kept")
            entered.set_result(file)
            await ferrio.Event().wait()

    async def main():
        entered = ferrio.get_running_loop().create_future()
        task = ferrio.create_task(use(entered))
        file = await entered
        await cancelled(task)
        assert file.closed
        assert path.read_bytes() == b"kept"

    run(main())


def test_a_cancelled_open_leaves_no_descriptor(run, path, fifo):
    path.write_bytes(b"")

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    async def main():
        await (await files.open(path)).close()
        before = descriptors()
        for _ in range(50):
            task = ferrio.create_task(_await(files.open(path)))
            await ferrio.sleep(0)
            task.cancel()
            try:
                await (await task).close()
            except ferrio.CancelledError:
                continue
        await cancelled(await started(_await(files.open(fifo, "rb"))))
        # A thread that opens a pipe cannot be stopped; it is let go.
        with open(os.open(fifo, os.O_RDWR), "wb"):
            while descriptors() > before + 1:
                await ferrio.sleep(0)
        assert descriptors() == before

    run(main())


async def _await(awaitable):
    return await awaitable


def test_a_reader_of_what_is_in_memory_lets_others_run(run, path):
    path.write_bytes(bytes(100_000))

    async def main():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await ferrio.sleep(0)

        task = ferrio.create_task(other())
        async with files.open(path, "rb", 1000) as file:
            before = turns
            for _ in range(50):
                await file.read(1000)
            assert turns - before >= 49
        await cancelled(task)

    run(main())


def test_tasks_take_turns(run, path):
    """Each operation is whole, whatever others run at the same time."""
    path.write_bytes(b"")

    async def main():
        async with files.open(path, "wb", 0) as file:
            chunks = [bytes([i]) * 100_000 for i in range(20)]
            await ferrio.gather(*map(file.write, chunks))
        assert path.read_bytes() == b"".join(chunks)
        async with files.open(path, "rb", 1000) as file:
            tasks = [ferrio.create_task(file.read(100_000)) for _ in range(21)]
            await ferrio.sleep(0)
            # One in the middle leaves the line.
            await cancelled(tasks.pop(10))
            assert await ferrio.gather(*tasks) == chunks

    run(main())


def test_many_files_at_once(run, tmp_path):
    async def one(number):
        path = tmp_path / str(number)
        data = os.urandom(number * 100)
        await files.write_bytes(path, data)
        assert await files.read_bytes(path) == data

    async def main():
        await ferrio.gather(*map(one, range(300)))

    run(main())


def test_a_file_that_nobody_closed(run, path):
    async def main():
        file = await files.open(path, "wb")
        await file.write(b"kept")
        fd = file.fileno()
        with pytest.warns(ResourceWarning, match="unclosed file <ferrio.files.BinaryFile name="):
            del file
            gc.collect()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    run(main())
    assert path.read_bytes() == b"kept"


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_files_in_cycles_are_collected(run, path, mode):
    path.write_bytes(b"")

    class Held:
        pass

    async def main():
        held = Held()
        held.file = await files.open(path, mode, opener=Opener(held))
        held.opening = files.open(path, mode, opener=Opener(held))
        await held.file.close()
        ref = weakref.ref(held)
        del held
        gc.collect()
        assert ref() is None

    class Opener:
        def __init__(self, held):
            self.held = held

        def __call__(self, path, flags):
            return os.open(path, flags)

    run(main())


def test_a_file_belongs_to_its_loop(run, path):
    path.write_bytes(b"x")
    file = run(_await(files.open(path, "rb")))
    other = ferrio.new_event_loop()
    try:
        with pytest.raises(RuntimeError, match="another event loop"):
            other.run_until_complete(file.read())
    finally:
        other.close()
    assert run(file.read()) == b"x"
    run(file.close())


def test_no_loop_no_file(path, engine):
    coro = files.read_bytes(path)
    with pytest.raises(RuntimeError, match="no running event loop"):
        coro.send(None)


def test_another_implementations_loop(path, engine):
    import asyncio

    with asyncio.Runner() as runner, pytest.raises(RuntimeError, match="event loop"):
        runner.run(_await(files.open(path)))


def test_the_loop_ends_while_something_is_under_way(loop, path, pipe):
    """Memory and descriptors stay until the kernel is through with them; what was written is there."""
    data = b"x" * 10_000_000

    async def main():
        reading = await files.open(pipe["read"], "rb", closefd=False)
        writing = await files.open(path, "wb", 0)
        tasks = [ferrio.create_task(reading.read(1)), ferrio.create_task(writing.write(data))]
        await ferrio.sleep(0)
        await ferrio.sleep(0)
        for task in tasks:
            task.cancel()
        await ferrio.wait(tasks)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.run_until_complete(main())
        loop.close()
        os.write(pipe["write"], b"x")  # for the thread, which cannot be stopped
        gc.collect()
    # A thread goes on by itself.
    deadline = threading.Event()
    while path.stat().st_size < len(data):
        deadline.wait(0.001)


def test_a_loop_that_changes_threads(loop, path):
    path.write_bytes(b"0123456789")
    outcome = []

    def in_a_thread(coro):
        thread = threading.Thread(target=lambda: outcome.append(loop.run_until_complete(coro)))
        thread.start()
        thread.join()
        return outcome.pop()

    file = in_a_thread(_await(files.open(path, "rb")))
    assert in_a_thread(file.read(3)) == b"012"
    assert loop.run_until_complete(file.read(3)) == b"345"
    in_a_thread(file.close())


def test_a_forked_child_has_files_of_its_own(loop, path, tmp_path):
    path.write_bytes(b"parent")
    copy = tmp_path / "copy"

    async def main():
        return await files.read_bytes(path)

    assert loop.run_until_complete(main()) == b"parent"
    with warnings.catch_warnings():
        # Python warns of forks in processes with threads, and the pool has some.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            loop.close()
            signal.alarm(30)
            ferrio.run(files.write_bytes(copy, b"child"))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert copy.read_bytes() == b"child"
    assert loop.run_until_complete(main()) == b"parent"


def test_sockets_and_files_share_a_loop(run, path):
    path.write_bytes(b"x" * 100_000)

    async def main():
        ours, theirs = socket.socketpair()
        reader, writer = await ferrio.open_connection(sock=ours)
        _, echo = await ferrio.open_connection(sock=theirs)
        async with files.open(path, "rb") as file:
            while block := await file.read(9999):
                echo.write(block)
                assert await reader.readexactly(len(block)) == block
        for each in (writer, echo):
            each.close()
            await each.wait_closed()

    run(main())


@pytest.mark.parametrize("driver", ["epoll", "io_uring"])
def test_with_either_driver(engine, driver, monkeypatch, path):
    monkeypatch.setenv("FERRIO_DRIVER", driver)
    path.write_bytes(b"x" * 100_000)

    async def main():
        assert ferrio.get_running_loop().driver in (driver, "epoll")
        assert len(await files.read_bytes(path)) == 100_000
        assert ferrio.get_running_loop()._files_engine == engine

    ferrio.run(main())


def test_an_unknown_engine_is_refused(monkeypatch, path):
    monkeypatch.setenv("FERRIO_FILES", "tape")
    with pytest.raises(ValueError, match=r"unknown engine .*tape.* in FERRIO_FILES: use io_uring or pool"):
        ferrio.run(files.write_bytes(path, b""))


def test_without_io_uring_threads_do_it(monkeypatch, path):
    monkeypatch.setenv("FERRIO_IO_URING", "off")

    async def main():
        await files.write_text(path, "x")
        assert ferrio.get_running_loop()._files_engine == "pool"

    ferrio.run(main())
