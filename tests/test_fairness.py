"""Nobody is starved by whoever always has work: sockets, timers, other threads, signals.

Polling costs as much as a whole task switch, so a loop with work polls only now and then; the head of
``crates/ferrio/src/event_loop/pace.rs`` names the bounds, and here they are held, by counting turns and callbacks.
"""

import math
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import ferrio
import pytest

MAX_TURNS = 256
"""Turns after which readiness and due timers are looked at again."""
MAX_ITEMS = 256
"""Callbacks after which they are, once the turn is over."""


@pytest.fixture
def loop():
    loop = ferrio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def wait_while_busy(loop, width, phase, begin):
    """Keeps `width` callbacks ready in every turn, and in the turn of number `phase` calls `begin(done)`.

    Returns how many turns began, and how many of the callbacks ran, between that and the call of `done`.
    """
    turns = callbacks = 0
    begun = None
    outcome = None

    def done():
        nonlocal outcome
        outcome = turns - begun[0], callbacks - begun[1]

    def first():
        nonlocal turns, begun
        turns += 1
        each()
        if turns == phase:
            begun = turns, callbacks
            begin(done)

    def each():
        nonlocal callbacks
        callbacks += 1
        if outcome is None:
            loop.call_soon(first if (callbacks - 1) % width == 0 else each)
        else:
            loop.stop()

    loop.call_soon(first)
    for _ in range(width - 1):
        loop.call_soon(each)
    loop.run_forever()
    # What is still queued, so that the next phase finds nothing of it.
    loop.call_soon(loop.stop)
    loop.run_forever()
    return outcome


def bounds(width):
    """(turns, callbacks) that may go by, with `width` callbacks in each turn."""
    turns = min(MAX_TURNS, math.ceil((MAX_ITEMS + 1) / width)) + 1
    # Whatever is ready when a turn begins runs before what the poll of that turn found.
    return turns, turns * width


@pytest.mark.parametrize("width", [1, 2, 10, 64, 65, 1000])
def test_a_readable_socket(loop, pair, width):
    ours, theirs = pair

    def begin(done):
        def readable():
            ours.recv(1)
            loop.remove_reader(ours)
            done()

        loop.add_reader(ours, readable)
        theirs.send(b"x")

    for phase in range(1, 2 * MAX_TURNS + 3 if width < 10 else 8):
        turns, callbacks = wait_while_busy(loop, width, phase, begin)
        assert turns <= bounds(width)[0] and callbacks <= bounds(width)[1], phase


@pytest.mark.parametrize("width", [1, 10, 1000])
def test_a_socket_that_was_watched_before(loop, pair, width):
    ours, theirs = pair
    called = []

    def readable():
        ours.recv(1)
        called.pop()()

    loop.add_reader(ours, readable)

    def begin(done):
        called.append(done)
        theirs.send(b"x")

    for phase in range(1, 2 * MAX_TURNS + 3 if width < 10 else 8):
        turns, callbacks = wait_while_busy(loop, width, phase, begin)
        assert turns <= bounds(width)[0] and callbacks <= bounds(width)[1], phase
    loop.remove_reader(ours)


@pytest.mark.parametrize("width", [1, 10, 1000])
@pytest.mark.parametrize("delay", [0, -1, 1e-9])
def test_a_timer_that_is_due(loop, width, delay):
    def begin(done):
        loop.call_at(loop.time() + delay, done)

    for phase in range(1, 2 * MAX_TURNS + 3 if width < 10 else 8):
        turns, callbacks = wait_while_busy(loop, width, phase, begin)
        assert turns <= bounds(width)[0] and callbacks <= bounds(width)[1], phase


def test_a_socket_beside_tasks_that_only_yield(loop, pair):
    ours, theirs = pair

    async def main(tasks, phase):
        steps = 0
        seen = None

        def readable():
            nonlocal seen
            ours.recv(1)
            seen = steps

        async def busy():
            nonlocal steps
            while seen is None:
                steps += 1
                await ferrio.sleep(0)

        loop.add_reader(ours, readable)
        others = [loop.create_task(busy()) for _ in range(tasks)]
        for _ in range(phase):
            await ferrio.sleep(0)
        sent = steps
        theirs.send(b"x")
        await ferrio.gather(*others)
        loop.remove_reader(ours)
        return seen - sent

    for tasks in 1, 3, 100:
        for phase in range(1, 2 * MAX_TURNS if tasks == 1 else 8):
            steps = loop.run_until_complete(main(tasks, phase))
            assert steps <= bounds(tasks)[1] + tasks, (tasks, phase)


def test_call_soon_threadsafe_beside_work(loop):
    """What another thread pushes needs no poll: it has its turn in the next one."""

    def begin(done):
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(done,))
        thread.start()
        thread.join()

    for phase in range(1, 20):
        turns, _ = wait_while_busy(loop, 1, phase, begin)
        assert turns <= 1, phase


# These hang where they fail, so each has a process of its own. The chain of C callbacks never reaches the
# interpreter's eval loop, where other threads and signal handlers would have their turn.
CHAIN = """
import functools, signal, sys, threading, time
import ferrio

loop = ferrio.new_event_loop()

def chain(schedule):
    link = functools.partial(schedule)
    link.__setstate__((schedule, (link,), {}, None))
    return link
"""


def run(script, seconds=60):
    script = CHAIN + textwrap.dedent(script)
    proc = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script], capture_output=True, text=True, timeout=seconds
    )
    assert proc.returncode == 0 and proc.stdout == "ok\n", proc.stderr


THREAD = """
started = threading.Event()

def other():
    started.wait()
    for _ in range(20):
        # Each time the GIL is given up and has to be had again.
        time.sleep(0)
    loop.call_soon_threadsafe(loop.stop)

threading.Thread(target=other).start()
loop.call_soon(started.set)
loop.call_soon({first})
loop.run_forever()
loop.close()
print("ok")
"""


def test_a_thread_beside_c_callbacks():
    run(THREAD.format(first="chain(loop.call_soon)"))


def test_a_thread_beside_c_callbacks_with_a_context():
    run(
        THREAD.format(
            first="chain(functools.partial(loop.call_soon, context=__import__('contextvars').Context()))"
        )
    )


def test_a_thread_beside_c_callbacks_that_is_slow_to_ask():
    # A thread asks for the GIL after a switch interval in which nobody let go of it. Whoever lets go more often than
    # that, without being asked, is never asked.
    run("sys.setswitchinterval(0.02)\n" + THREAD.format(first="chain(loop.call_soon)"))


def test_a_thread_beside_one_turn_of_many_c_callbacks():
    run(
        """
        started = threading.Event()
        ran = []

        def other():
            started.wait()
            for _ in range(5):
                time.sleep(0)
            ran.append(loop.time())

        threading.Thread(target=other).start()
        loop.call_soon(started.set)
        slowly = functools.partial(hash, tuple(range(2000)))
        for _ in range(100_000):
            loop.call_soon(slowly)
        ended = []
        loop.call_soon(lambda: ended.append(loop.time()))
        loop.call_later(0, loop.stop)
        loop.run_forever()
        loop.close()
        assert ran and ran < ended, (ran, ended)
        print("ok")
        """
    )


def test_a_thread_beside_timers_that_are_due():
    run(THREAD.format(first="chain(functools.partial(loop.call_later, 0))"))


def test_a_thread_beside_tasks_that_only_yield():
    run(
        """
        started = threading.Event()

        def other():
            started.wait()
            for _ in range(20):
                time.sleep(0)
            loop.call_soon_threadsafe(task.cancel)

        async def main():
            await ferrio.gather(*[spin() for _ in range(3)])

        async def spin():
            started.set()
            while True:
                await ferrio.sleep(0)

        task = loop.create_task(main())
        threading.Thread(target=other).start()
        try:
            loop.run_until_complete(task)
        except ferrio.CancelledError:
            print("ok")
        loop.close()
        """
    )


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers")
def test_a_signal_handler_beside_c_callbacks():
    run(
        """
        def handler(signum, frame):
            loop.stop()

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        loop.call_soon(chain(loop.call_soon))
        loop.run_forever()
        loop.close()
        print("ok")
        """
    )


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers")
def test_a_signal_of_the_loop_beside_c_callbacks():
    run(
        """
        loop.add_signal_handler(signal.SIGALRM, loop.stop)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        loop.call_soon(chain(loop.call_soon))
        loop.run_forever()
        loop.close()
        print("ok")
        """
    )
