"""Handles in cycles with a sentinel: each way to get one, and each end that it and its loop can come to.

The sentinel holds the handle and the loop, and is what the handle would call; the loop's exception handler holds the
sentinel. So the collector has to account for what the handle refers to, the loop included. The process prints, per way
and end, whether the sentinel died in a collection.
"""

import asyncio
import contextvars
import functools
import gc
import json
import logging
import signal
import socket
import sys
import threading
import warnings
import weakref

WAYS = {}
ENDS = {}


class Sentinel:
    """Holds its handle and its loop, and is called by the handle."""

    def called(self, _sentinel):
        pass

    def fails(self, _sentinel):
        raise ValueError("the handle's callback")

    def handler(self, _loop, _context):
        pass


def way(function):
    WAYS[function.__name__] = function
    return function


def end(function):
    ENDS[function.__name__] = function
    return function


# -- ways to get a handle ---------------------------------------------------------


@way
def call_soon(loop, sentinel, callback):
    return loop.call_soon(callback, sentinel)


@way
def call_soon_in_a_context(loop, sentinel, callback):
    context = contextvars.Context()
    context.run(contextvars.ContextVar("var").set, sentinel)
    return loop.call_soon(callback, None, context=context)


@way
def call_soon_threadsafe(loop, sentinel, callback):
    return loop.call_soon_threadsafe(callback, sentinel)


@way
def call_soon_unchecked(loop, sentinel, callback):
    return loop._call_soon(callback, (sentinel,), None)


@way
def call_later(loop, sentinel, callback):
    return loop.call_later(0, callback, sentinel)


@way
def call_at(loop, sentinel, callback):
    return loop.call_at(loop.time() + 3600, callback, sentinel)


@way
def reader(loop, sentinel, callback):
    sentinel.pair = socket.socketpair()
    sentinel.pair[1].send(b"x")
    return loop._add_reader(sentinel.pair[0], callback, sentinel)


@way
def writer(loop, sentinel, callback):
    sentinel.pair = socket.socketpair()
    return loop._add_writer(sentinel.pair[0], callback, sentinel)


@way
def signal_handler(loop, sentinel, callback):
    loop.add_signal_handler(signal.SIGUSR1, callback, sentinel)
    return loop._signal_handlers[signal.SIGUSR1]


@way
def handle(loop, sentinel, callback):
    return asyncio.Handle(callback, (sentinel,), loop)


@way
def queued_handle(loop, sentinel, callback):
    made = asyncio.Handle(callback, (sentinel,), loop)
    loop._add_callback(made)
    return made


@way
def timer_handle(loop, sentinel, callback):
    return asyncio.TimerHandle(loop.time(), callback, (sentinel,), loop)


@way
def derived_handle(loop, sentinel, callback):
    class Mine(asyncio.Handle):
        pass

    return Mine(callback, (sentinel,), loop)


# -- ends of a handle and its loop --------------------------------------------------


def run(loop, first, turns):
    """Runs `first` and the turns after it; what the last of them queues is left."""

    def turn(left):
        if left:
            loop.call_soon(turn, left - 1)
        else:
            loop.stop()

    def begin():
        # Ahead of what `first` queues, so that the loop stops before it has run where `turns` is 0.
        turn(turns)
        first()

    loop.call_soon(begin)
    loop.run_forever()


def make(loop, sentinel, create, callback=Sentinel.called):
    sentinel.handle = create(loop, sentinel, functools.partial(callback, sentinel))


@end
def never_run(loop, sentinel, create):
    make(loop, sentinel, create)


@end
def closed(loop, sentinel, create):
    make(loop, sentinel, create)
    loop.close()


@end
def cancelled_before_a_run(loop, sentinel, create):
    make(loop, sentinel, create)
    sentinel.handle.cancel()


@end
def made_after_a_run(loop, sentinel, create):
    run(loop, lambda: None, 2)
    make(loop, sentinel, create)


@end
def left_by_a_run(loop, sentinel, create):
    run(loop, functools.partial(make, loop, sentinel, create), 0)


@end
def left_by_a_second_run(loop, sentinel, create):
    run(loop, functools.partial(loop.call_later, 3600, int), 2)
    run(loop, functools.partial(make, loop, sentinel, create), 0)
    run(loop, lambda: None, 0)


@end
def left_by_a_run_then_closed(loop, sentinel, create):
    run(loop, functools.partial(make, loop, sentinel, create), 0)
    loop.close()


@end
def left_by_a_run_that_failed(loop, sentinel, create):
    def first():
        make(loop, sentinel, create)
        raise SystemExit

    loop.call_soon(first)
    try:
        loop.run_forever()
    except SystemExit:
        return
    raise AssertionError("it did not end the loop")


@end
def ran(loop, sentinel, create):
    run(loop, functools.partial(make, loop, sentinel, create), 4)


@end
def ran_in_a_later_run(loop, sentinel, create):
    make(loop, sentinel, create)
    run(loop, lambda: None, 4)


@end
def ran_and_failed(loop, sentinel, create):
    run(loop, functools.partial(make, loop, sentinel, create, Sentinel.fails), 4)


@end
def ran_in_debug_mode(loop, sentinel, create):
    loop.set_debug(True)
    run(loop, functools.partial(make, loop, sentinel, create), 4)


@end
def ran_by_hand(loop, sentinel, create):
    def first():
        make(loop, sentinel, create)
        sentinel.handle._run()

    run(loop, first, 0)


@end
def cancelled_in_a_run(loop, sentinel, create):
    def first():
        make(loop, sentinel, create)
        sentinel.handle.cancel()

    run(loop, first, 4)


@end
def cancelled_in_debug_mode(loop, sentinel, create):
    def first():
        loop.set_debug(True)
        make(loop, sentinel, create)
        sentinel.handle.cancel()
        loop.set_debug(False)

    run(loop, first, 4)


@end
def changed_after_it_ran(loop, sentinel, create):
    run(loop, functools.partial(make, loop, sentinel, create), 4)
    sentinel.handle._callback = sentinel.called
    sentinel.handle._args = (sentinel,)


@end
def left_by_a_run_of_the_programs_own(loop, sentinel, create):
    """As `nest_asyncio` and the like make it."""
    loop._thread_id = threading.get_ident()
    make(loop, sentinel, create)
    loop._thread_id = None


@end
def taken_out_of_the_queue(loop, sentinel, create):
    def first():
        make(loop, sentinel, create)
        sentinel.taken = list(loop._ready)
        loop._ready.clear()
        loop.stop()

    loop.call_soon(first)
    loop.run_forever()


@end
def in_a_loop_that_lives(loop, sentinel, create):
    LIVING.append(loop)
    loop.set_exception_handler(None)
    make(loop, sentinel, create)


LIVING = []
# What the loop does not know of: all else it holds itself.
UNQUEUED = {"handle", "timer_handle", "derived_handle"}
NAMES = [f"{way}-{end}" for way in WAYS for end in ENDS if end != "in_a_loop_that_lives" or way in UNQUEUED]


def bring_about(way, end):
    """Returns a weak reference to the sentinel, which nothing but its cycle holds."""
    sentinel = Sentinel()
    sentinel.loop = asyncio.new_event_loop()
    sentinel.loop.set_exception_handler(sentinel.handler)
    ENDS[end](sentinel.loop, sentinel, WAYS[way])
    return weakref.ref(sentinel)


def main():
    # Loops that nobody closes are what this is about.
    warnings.simplefilter("ignore", ResourceWarning)
    logging.disable()
    for name in NAMES:
        gc.collect()
        gc.disable()
        alive = bring_about(*name.split("-"))
        gc.enable()
        for _ in range(3):
            gc.collect()
        print(json.dumps([name, alive() is None]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
