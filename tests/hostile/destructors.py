"""Destructors that run inside one another, in several threads."""

import asyncio
import sys
import threading

from survival import program


class Blocker:
    """Does not die before somebody lets it."""

    entered, go = threading.Event(), threading.Event()

    def __del__(self):
        self.entered.set()
        self.released = self.go.wait(60)
        assert self.released


class Setter:
    def __del__(self):
        Blocker.go.set()


def results(loop, innermost, length):
    """Each is the result of the next."""
    for _ in range(length):
        fut = loop.create_future()
        fut.set_result(innermost)
        innermost = fut
    return innermost


def handles(loop, innermost, length):
    for _ in range(length):
        innermost = asyncio.Handle(print, (innermost,), loop)
    return innermost


def mixed(loop, innermost, length):
    for _ in range(length // 2):
        innermost = handles(loop, results(loop, innermost, 1), 1)
    return innermost


def others_die_at_once(chain):
    """While a destructor waits at the end of a long chain, another thread's objects die at once."""
    loop = asyncio.new_event_loop()
    box = [chain(loop, Blocker(), 120)]
    thread = threading.Thread(target=box.clear)
    thread.start()
    Blocker.entered.wait(60)
    other = chain(loop, Setter(), 4)
    del other
    died = Blocker.go.is_set()
    Blocker.go.set()
    thread.join()
    loop.close()
    return "done" if died else "it was put off"


@program()
def results_of_others():
    return others_die_at_once(results)


@program()
def handles_of_others():
    return others_die_at_once(handles)


@program()
def mixed_of_others():
    return others_die_at_once(mixed)


@program()
def long_chains_in_many_threads():
    """Everything dies, once, whatever thread is switched to in between."""
    loop = asyncio.new_event_loop()
    count, lock = [0], threading.Lock()

    class Counted:
        def __del__(self):
            with lock:
                count[0] += 1

    def work():
        for _ in range(5):
            innermost = Counted()
            for _ in range(20):
                innermost = results(loop, [innermost, Counted()], 100)
            del innermost

    sys.setswitchinterval(1e-5)
    for stack in (0, 256 * 1024):
        threading.stack_size(stack)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    loop.close()
    assert count[0] == 2 * 4 * 5 * 21, count
    return "done"


@program()
def one_chain_in_a_destructor_of_another():
    """What is deep already makes and drops objects itself."""
    loop = asyncio.new_event_loop()
    died = []

    class Makes:
        def __init__(self, more):
            self.more = more

        def __del__(self):
            died.append(self.more)
            if self.more:
                results(loop, Makes(self.more - 1), 60)

    results(loop, Makes(20), 60)
    loop.close()
    assert died == list(range(20, -1, -1)), died
    return "done"
