"""The wake-up descriptor of signals belongs to the program, unless a signal handler of the loop's needs it.

Libraries look for one and warn: trio's guest mode takes it for another library's.  What ferrio does instead to be woken
by a signal is not to be seen from Python.

A short sleep in here makes the loop wait in a poll, and ends after it.
"""

import os
import signal
import socket
import sys
import threading
import time

import pytest


@pytest.fixture
def wakeup_fd():
    """What is set now."""

    def wakeup_fd():
        before = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(before)
        return before

    assert wakeup_fd() == -1
    yield wakeup_fd
    signal.set_wakeup_fd(-1)


def test_none_while_a_loop_runs(asyncio, wakeup_fd):
    async def main():
        seen = [wakeup_fd()]
        # After a poll that waits, and in each kind of callback.
        await asyncio.sleep(0.001)
        seen.append(wakeup_fd())
        loop.call_soon(lambda: seen.append(wakeup_fd()))
        ours, theirs = socket.socketpair()
        loop.add_reader(ours, lambda: (ours.recv(1), seen.append(wakeup_fd())))
        theirs.send(b"x")
        await asyncio.sleep(0.001)
        loop.remove_reader(ours)
        ours.close()
        theirs.close()
        return seen

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        assert runner.run(main()) == [-1] * 4
    assert wakeup_fd() == -1


def test_one_while_a_handler_needs_it(asyncio, wakeup_fd):
    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(2):
            loop.add_signal_handler(signal.SIGUSR1, int)
            loop.add_signal_handler(signal.SIGUSR2, int)
            assert wakeup_fd() != -1
            await asyncio.sleep(0.001)
            assert wakeup_fd() != -1
            loop.remove_signal_handler(signal.SIGUSR1)
            assert wakeup_fd() != -1
            loop.remove_signal_handler(signal.SIGUSR2)
            assert wakeup_fd() == -1
            await asyncio.sleep(0.001)
            assert wakeup_fd() == -1

    asyncio.run(main())


def test_the_programs_own_is_left_alone(asyncio, wakeup_fd):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for sock in ours, theirs:
            sock.setblocking(False)
        signal.set_wakeup_fd(ours.fileno())

        async def main():
            for _ in range(3):
                await asyncio.sleep(0.001)
                assert wakeup_fd() == ours.fileno()
            signal.raise_signal(signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            asyncio.run(main())
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert wakeup_fd() == ours.fileno()
        assert theirs.recv(10) == bytes([signal.SIGUSR1])


def test_one_that_a_handler_sets_stays(asyncio, wakeup_fd):
    """A handler runs while the loop is about to wait, or has waited."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)

        def handler(*_):
            signal.set_wakeup_fd(ours.fileno())

        async def main():
            timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            deadline = time.monotonic() + 20
            while wakeup_fd() == -1:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            timer.join()
            await asyncio.sleep(0.001)
            return wakeup_fd()

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            assert asyncio.run(main()) == ours.fileno()
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_a_handler_wakes_a_loop_that_waits(asyncio, wakeup_fd):
    """The signal may come at any moment around the beginning of the wait."""

    # One that passes through callbacks too.
    class Stop(KeyboardInterrupt):
        pass

    def handler(*_):
        raise Stop

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        for i in range(30):
            before = signal.signal(signal.SIGALRM, handler)
            loop.call_soon(signal.setitimer, signal.ITIMER_REAL, 2e-5 * (i % 10 + 1))
            try:
                with pytest.raises(Stop):
                    loop.run_forever()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
            assert wakeup_fd() == -1


@pytest.mark.parametrize("handler", [False, True])
def test_a_child_forked_by_another_thread_has_none(asyncio, wakeup_fd, handler):
    """The loop waits in the main thread, with its descriptor set, while the other thread forks."""
    if handler and sys.version_info < (3, 12) and asyncio.__name__ == "asyncio":
        pytest.skip("asyncio takes it back in a child since 3.12")
    read, write = os.pipe()

    def fork():
        pid = os.fork()
        if pid == 0:
            try:
                os.write(write, b"%d" % signal.set_wakeup_fd(-1))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    async def main():
        loop = asyncio.get_running_loop()
        if handler:
            loop.add_signal_handler(signal.SIGUSR1, int)
        await loop.run_in_executor(None, fork)

    asyncio.run(main())
    assert os.read(read, 10) == b"-1"
    os.close(read)
    os.close(write)
