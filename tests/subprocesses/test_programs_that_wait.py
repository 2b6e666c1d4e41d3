"""A program that takes long to begin holds up nobody, and can be given up."""

import pathlib
import threading
import time

import pytest
from held import held_program

pytestmark = pytest.mark.usefixtures("not_stock")


@pytest.fixture
def not_stock(impl):
    if impl == "stock":
        pytest.skip("stock waits for execve on the loop's thread")


@pytest.fixture
def held(tmp_path):
    with held_program(tmp_path) as (path, let_go):
        yield path, let_go


async def asleep(asyncio, pid):
    """Wait until the new process waits in the kernel, where it has still this one's command line."""
    ours = pathlib.Path("/proc/self/cmdline").read_bytes()
    while True:
        proc = pathlib.Path(f"/proc/{pid}")
        state = (proc / "stat").read_text().rpartition(")")[2].split()[0]
        if state in "SD" and (proc / "cmdline").read_bytes() == ours:
            return
        await asyncio.sleep(0.001)


async def the_new_child(asyncio, left):
    while not (new := left()[0]):
        await asyncio.sleep(0)
    return new.pop()


def test_the_loop_and_threads_go_on(asyncio, run, held, left):
    path, let_go = held

    async def main():
        starting = asyncio.create_task(asyncio.create_subprocess_exec(path, stdin=-1, stdout=-1))
        await asleep(asyncio, await the_new_child(asyncio, left))
        beats = threading.Event()
        thread = threading.Thread(target=beats.set)
        thread.start()
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert beats.wait(60)
        thread.join()
        assert not starting.done()
        # Another one begins meanwhile.
        other = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert await other.communicate(b"other") == (b"other", None)
        assert not starting.done()
        let_go()
        proc = await starting
        assert await proc.communicate(b"held") == (b"held", None)

    run(main())
    assert left() == (set(), set())


def test_giving_up(asyncio, run, held, left):
    path, _ = held

    async def main():
        starting = asyncio.create_task(asyncio.create_subprocess_exec(path, stdin=-1, stdout=-1))
        await asleep(asyncio, await the_new_child(asyncio, left))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert left()[0] == set()

    run(main())
    assert left() == (set(), set())


def test_a_timeout(asyncio, run, held, left):
    path, _ = held

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.create_subprocess_exec(path, stdin=-1, stdout=-1)
        assert left()[0] == set()

    run(main())
    assert left() == (set(), set())


def test_the_loop_is_closed_meanwhile(asyncio, held, left):
    path, _ = held
    loop = asyncio.new_event_loop()
    starting = loop.create_task(asyncio.create_subprocess_exec(path, stdin=-1, stdout=-1))
    loop.run_until_complete(asyncio.wait([loop.create_task(the_new_child(asyncio, left))]))
    loop.run_until_complete(asyncio.sleep(0))
    assert not starting.done()
    starting._log_destroy_pending = False
    coro = starting.get_coro()
    loop.close()
    coro.close()
    del coro, starting
    # A thread reaps it.
    deadline = time.monotonic() + 60
    while left() != (set(), set()) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert left() == (set(), set())
