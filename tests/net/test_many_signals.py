"""Thousands of signals while the loop works: each that the kernel delivers is handled, once."""

import collections
import os
import signal
import subprocess
import sys
import threading

import pytest

# Real-time signals are queued: the kernel merges none of one kind, as it does the others.
QUEUED = [signal.SIGRTMIN + number for number in (1, 2, 3)]
BURST = 100
BURSTS = 50

SENDER = f"""
import os, sys
for _ in range({BURSTS}):
    sys.stdin.buffer.read(1)
    for number in range({BURST}):
        os.kill(int(sys.argv[1]), int(sys.argv[2 + number % (len(sys.argv) - 2)]))
"""


@pytest.fixture
def counted(loop):
    """A loop that counts its signals, and something to wait for a number of them."""
    counts = collections.Counter()
    waiting = []

    def handler(number):
        counts[number] += 1
        while waiting and counts.total() >= waiting[0][0]:
            waiting.pop(0)[1].set_result(None)

    async def reached(total):
        if counts.total() < total:
            fut = loop.create_future()
            waiting.append((total, fut))
            waiting.sort(key=lambda entry: entry[0])
            await fut

    for number in [*QUEUED, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGCHLD]:
        loop.add_signal_handler(number, handler, number)
    yield counts, reached
    for number in [*QUEUED, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGCHLD]:
        loop.remove_signal_handler(number)


@pytest.fixture
def work(asyncio, run):
    """Run a coroutine beside tasks that never wait, and one that sleeps."""

    async def busy():
        while True:
            await asyncio.sleep(0)

    async def sleepy():
        while True:
            await asyncio.sleep(0.0005)

    def work(coro):
        async def main():
            others = [asyncio.ensure_future(each()) for each in (busy, busy, sleepy)]
            try:
                await coro
            finally:
                for other in others:
                    other.cancel()

        run(main())

    return work


def test_from_another_process_and_a_thread(work, counted):
    counts, reached = counted
    with subprocess.Popen(
        [sys.executable, "-c", SENDER, str(os.getpid()), *map(str, map(int, QUEUED))], stdin=subprocess.PIPE
    ) as sender:

        def thread(go):
            for number in range(BURST):
                os.kill(os.getpid(), QUEUED[number % len(QUEUED)])
            go.set()

        async def main():
            # As many at a time as the pipe of signals has room for, and the kernel queues for a user.
            for burst in range(1, BURSTS + 1):
                sender.stdin.write(b"x")
                sender.stdin.flush()
                sent = threading.Event()
                threading.Thread(target=thread, args=(sent,)).start()
                await reached(2 * BURST * burst)
                sent.wait()

        work(main())
    each = collections.Counter(QUEUED[number % len(QUEUED)] for number in range(BURST))
    assert {number: counts[number] for number in QUEUED} == {
        number: 2 * BURSTS * each[number] for number in QUEUED
    }


def test_one_after_the_other(work, counted):
    counts, reached = counted
    kinds = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP]

    async def main():
        for number in range(3000):
            os.kill(os.getpid(), kinds[number % 3])
            await reached(number + 1)

    work(main())
    assert [counts[kind] for kind in kinds] == [1000] * 3


def test_children_that_end_are_the_programs_signals(asyncio, work, counted):
    counts, reached = counted

    async def main():
        for number in range(50):
            proc = await asyncio.create_subprocess_exec("true")
            assert await proc.wait() == 0
            await reached(number + 1)

    work(main())
    assert counts[signal.SIGCHLD] == 50
