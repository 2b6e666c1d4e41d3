"""Nobody is starved by tasks and callbacks that always have work: sockets, timers, other threads, signals.

asyncio looks at sockets and timers in every turn, and so does ferrio, until 64 turns in a row have found nothing; the
head of ``crates/ferrio/src/event_loop/pace.rs`` says what happens then.  Both are held here by counting turns and
callbacks.
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

PATIENCE = 64
"""Turns in a row that find nothing, after which a loop backs off."""
MAX_TURNS = 256
"""Turns after which a loop that backs off looks again."""
MAX_ITEMS = 256
"""Callbacks after which it does, once the turn is over."""


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


def bounds(width, phase):
    """(turns, callbacks) that may go by before what needs a look, with `width` callbacks in each turn."""
    if phase < PATIENCE:
        return 1, 2 * width
    turns = min(MAX_TURNS, math.ceil((MAX_ITEMS + 1) / width)) + 1
    # Whatever is ready when a turn begins runs before what is found in that turn.
    return turns, turns * width


def phases(width):
    """Numbers of turns without anything from outside, before and after the loop backs off."""
    if width < 10:
        return [*range(1, 10), *range(PATIENCE - 3, PATIENCE + 2 * MAX_TURNS + 3)]
    return [*range(1, 8), *range(PATIENCE - 3, PATIENCE + 3)]


@pytest.mark.parametrize("width", [1, 2, 10, 64, 65, 1000])
def test_a_readable_socket(loop, pair, width):
    """To watch one ends the back-off, so that it is seen in the next turn whatever was before."""
    ours, theirs = pair

    def begin(done):
        def readable():
            ours.recv(1)
            loop.remove_reader(ours)
            done()

        loop.add_reader(ours, readable)
        theirs.send(b"x")

    for phase in phases(width):
        turns, callbacks = wait_while_busy(loop, width, phase, begin)
        assert turns == 1 and callbacks <= 2 * width, phase


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

    for phase in phases(width):
        turns, callbacks = wait_while_busy(loop, width, phase, begin)
        most = bounds(width, phase)
        assert turns <= most[0] and callbacks <= most[1], phase
    loop.remove_reader(ours)


@pytest.mark.parametrize("width", [1, 10, 1000])
@pytest.mark.parametrize("delay", [0, -1, 1e-9])
def test_a_timer_that_is_due(loop, width, delay):
    """To set one that is due at once ends the back-off too."""

    def begin(done):
        loop.call_at(loop.time() + delay, done)

    for phase in phases(width):
        turns, callbacks = wait_while_busy(loop, width, phase, begin)
        assert turns == 1 and callbacks <= 2 * width, phase


def test_a_socket_after_each_thing_that_ends_the_back_off(loop, pair):
    """An event, a timer or a call from a thread, and sockets are looked at in every turn again."""
    ours, theirs = pair
    others = socket.socketpair()

    async def turns_until(seen):
        for turn in range(1000):
            if seen:
                return turn
            await ferrio.sleep(0)
        return None

    async def back_off():
        for _ in range(3 * PATIENCE):
            await ferrio.sleep(0)

    def from_a_thread(function):
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(function,))
        thread.start()
        thread.join()

    async def main():
        seen = []
        ended = []
        loop.add_reader(ours, lambda: seen.append(ours.recv(1)))
        loop.add_reader(others[0], lambda: ended.append(others[0].recv(1)))
        for wake in (
            lambda: others[1].send(b"x"),
            lambda: loop.call_later(0.001, ended.append, "timer"),
            lambda: from_a_thread(lambda: ended.append("thread")),
        ):
            await back_off()
            ended.clear()
            wake()
            # However long that takes: a clock has to move, or the back-off to end.
            while not ended:
                await ferrio.sleep(0)
            for _ in range(PATIENCE // 2):
                await ferrio.sleep(0)
            seen.clear()
            theirs.send(b"x")
            # In the next turn, behind the task that was there first.
            assert await turns_until(seen) <= 2
        loop.remove_reader(ours)
        loop.remove_reader(others[0])

    with others[0], others[1]:
        loop.run_until_complete(main())


@pytest.mark.parametrize("send", ["transport", "sock_sendall"])
def test_data_that_is_sent_ends_the_back_off(loop, send):
    """Its answer may be there in the next turn: a test that has both ends in one loop waits for it by turns."""

    async def main():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        reader, writer = await ferrio.open_connection(sock=ours)
        loop.add_reader(theirs, lambda: theirs.send(theirs.recv(100)))
        for idle in 1, 10, PATIENCE, 3 * PATIENCE:
            for _ in range(idle):
                await ferrio.sleep(0)
            writer.write(b"x")
            if send == "sock_sendall":
                await loop.sock_sendall(theirs, b"y")
            for _ in range(3):
                await ferrio.sleep(0)
            assert bytes(reader._buffer) != b"", idle
            await reader.read(100)
        loop.remove_reader(theirs)
        theirs.close()
        writer.close()
        await writer.wait_closed()

    loop.run_until_complete(main())


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
        for phase in range(1, PATIENCE + 2 * MAX_TURNS if tasks == 1 else 8):
            steps = loop.run_until_complete(main(tasks, phase))
            assert steps <= bounds(tasks, phase)[1] + tasks, (tasks, phase)


@pytest.mark.parametrize("count", [63, 64, 200])
def test_many_sockets_at_once(loop, count):
    """A poll that is full may be followed by one turn without another, never by two."""
    pairs = [socket.socketpair() for _ in range(count + 1)]
    turns = 0
    seen = {}

    def tick():
        nonlocal turns
        turns += 1
        if len(seen) <= count:
            loop.call_soon(tick)
        else:
            loop.stop()

    def readable(i):
        pairs[i][0].recv(1)
        seen[i] = turns
        # As many callbacks as there were events.
        loop.call_soon(int)
        if len(seen) == 1:
            pairs[count][1].send(b"x")

    for i, (ours, _) in enumerate(pairs):
        loop.add_reader(ours, readable, i)
    for _, theirs in pairs[:count]:
        theirs.send(b"x")
    loop.call_soon(tick)
    loop.run_forever()
    for ours, theirs in pairs:
        loop.remove_reader(ours)
        ours.close()
        theirs.close()
    # The last one became ready in the turn of the first event.
    assert max(seen.values()) - min(seen.values()) <= 2 * (count // 64 + 1)


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
    # A thread asks for the GIL after a switch interval in which nobody let go of it. A loop that lets go more often
    # than that, without being asked, is never asked.
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
        slowly = functools.partial(sum, range(500))
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
