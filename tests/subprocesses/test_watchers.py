"""The child watchers that asyncio has until Python 3.13: one of the program's own is used, the others are names."""

import os
import subprocess
import sys
import warnings

import pytest

pytestmark = [
    pytest.mark.skipif(sys.version_info >= (3, 14), reason="watchers are gone"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def own(asyncio):
    """A watcher written in Python, set for the test."""

    class Own(asyncio.AbstractChildWatcher):
        def __init__(self):
            self.calls = []

        def __enter__(self):
            self.calls.append("enter")
            return self

        def __exit__(self, *exc):
            self.calls.append(("exit", exc[0]))

        def is_active(self):
            return True

        def attach_loop(self, loop):
            pass

        def close(self):
            pass

        def add_child_handler(self, pid, callback, *args):
            self.calls.append("add")
            loop = asyncio.get_running_loop()

            def wait():
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                self.calls.append(status)
                loop.call_soon_threadsafe(callback, pid, status, *args)

            loop.run_in_executor(None, wait)

    watcher = Own()
    asyncio.set_child_watcher(watcher)
    yield watcher
    asyncio.set_child_watcher(None)


def test_one_of_the_programs_own(asyncio, run, own, left):
    async def main():
        proc = await asyncio.create_subprocess_exec("sh", "-c", "read x; exit 3", stdin=-1)
        proc.stdin.close()
        assert await proc.wait() == 3

    run(main())
    assert own.calls == ["enter", "add", ("exit", None), 3]
    assert left() == (set(), set())


def test_an_error_passes_through_it(asyncio, run, own, left):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/no/such/program")

    run(main())
    assert own.calls == ["enter", ("exit", FileNotFoundError)]
    assert left() == (set(), set())


def test_giving_up_passes_through_it(asyncio, run, own, left):
    async def main():
        task = asyncio.create_task(asyncio.create_subprocess_exec("sleep", "1000"))
        while "enter" not in own.calls:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert own.calls[-1] == ("exit", asyncio.CancelledError)
    assert left() == (set(), set())


@pytest.mark.parametrize("name", ["Pidfd", "Threaded", "Safe", "Fast"])
def test_watching_by_hand(asyncio, run, name, left):
    async def main():
        loop = asyncio.get_running_loop()
        watcher = getattr(asyncio, f"{name}ChildWatcher")()
        watcher.attach_loop(loop)
        ended = loop.create_future()
        with watcher:
            assert watcher.is_active()
            popen = subprocess.Popen(["sh", "-c", "read x; exit 5"], stdin=subprocess.PIPE)

            def callback(pid, returncode, *args):
                # One of a thread's own calls it there.
                loop.call_soon_threadsafe(ended.set_result, (pid, returncode, *args))

            watcher.add_child_handler(popen.pid, callback, "more", 2)
        popen.stdin.close()
        assert await ended == (popen.pid, 5, "more", 2)
        popen.returncode = 5
        watcher.attach_loop(None)
        watcher.close()

    run(main())
    assert left() == (set(), set())


@pytest.mark.parametrize("name", ["Pidfd", "Threaded", "Safe", "Fast", "MultiLoop"])
def test_setting_it_changes_nothing(asyncio, run, name, left):
    watcher = getattr(asyncio, f"{name}ChildWatcher")()
    asyncio.set_child_watcher(watcher)
    try:

        async def main():
            watcher.attach_loop(asyncio.get_running_loop())
            proc = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            assert await proc.communicate(b"data") == (b"data", None)
            assert proc.returncode == 0
            watcher.attach_loop(None)

        run(main())
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asyncio.set_child_watcher(None)
    assert left() == (set(), set())
