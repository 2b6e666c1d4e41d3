"""The loop's own socket pair, which programs write to and hand to `signal.set_wakeup_fd()`."""

import os
import signal
import socket
import threading


def test_a_task_made_from_another_thread_is_run_after_a_zero(loop):
    ran = []

    async def task():
        ran.append(1)
        loop.stop()

    def make():
        # As programs do it that do not know of call_soon_threadsafe().
        loop.create_task(task())
        loop._csock.send(b"\0")

    thread = threading.Thread(target=make)
    loop.call_soon(thread.start)
    loop.call_later(60, loop.stop)
    loop.run_forever()
    thread.join()
    assert ran == [1]


def test_it_is_the_wakeup_descriptor_of_signals(loop):
    caught = []

    def handler(signum, frame):
        caught.append(signum)
        loop.stop()

    previous = signal.signal(signal.SIGUSR1, handler)
    before = signal.set_wakeup_fd(loop._csock.fileno())
    try:
        loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        loop.call_later(60, loop.stop)
        loop.run_forever()
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGUSR1, previous)
    assert caught == [signal.SIGUSR1]


def test_both_ends_go_with_the_loop(asyncio):
    loop = asyncio.new_event_loop()
    ends = [loop._ssock, loop._csock]
    assert [end.fileno() >= 0 for end in ends] == [True, True]
    assert loop._csock is ends[1]
    loop.close()
    assert [end.fileno() for end in ends] == [-1, -1]
    assert loop._ssock is None and loop._csock is None


def test_transports_by_descriptor(loop, asyncio):
    async def main():
        mine, other = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=mine)
        fd = mine.fileno()
        assert loop._transports[fd] is transport
        assert transport in loop._transports.values()
        other.close()
        transport.abort()

    loop.run_until_complete(main())
