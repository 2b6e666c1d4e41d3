"""A Python signal handler that raises ends the loop in the middle of a poll; the loop may run again.

What that poll has found is not found a second time where the kernel reports changes only, so none of it may be lost.
"""

import _thread
import os
import signal
import socket
import sys
import threading

import pytest


class Interrupted(Exception):
    """What the handler raises."""


@pytest.fixture
def interrupt_poll(loop):
    """Run the loop until a handler raises after a poll that found what the given function brought about."""

    def interrupt_poll(bring_about):
        def raising(_number, _frame):
            raise Interrupted

        begin = threading.Lock()
        begin.acquire()

        def other_thread():
            with begin:
                # It gets here when the loop lets go of the GIL, which it does to wait: nobody switches before.
                _thread.interrupt_main(signal.SIGUSR1)
                bring_about()

        thread = threading.Thread(target=other_thread)
        thread.start()

        before = signal.signal(signal.SIGUSR1, raising)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        try:
            loop.call_soon(begin.release)
            with pytest.raises(Interrupted):
                loop.run_forever()
        finally:
            sys.setswitchinterval(interval)
            signal.signal(signal.SIGUSR1, before)
            thread.join(10)

    return interrupt_poll


@pytest.fixture
def within(asyncio, run):
    """Run an awaitable to its end, which is near."""

    def within(awaitable):
        async def bounded():
            return await asyncio.wait_for(awaitable, 10)

        return run(bounded())

    return within


def test_a_socket_that_became_readable_is_read(loop, run, within, interrupt_poll):
    near, far = socket.socketpair()
    near.setblocking(False)

    async def begin():
        return loop.create_task(loop.sock_recv(near, 10))

    with near, far:
        waiting = run(begin())
        interrupt_poll(lambda: os.write(far.fileno(), b"data"))
        assert within(waiting) == b"data"


def test_a_call_from_another_thread_is_made(loop, within, interrupt_poll):
    called = loop.create_future()
    interrupt_poll(lambda: loop.call_soon_threadsafe(called.set_result, "called"))
    assert within(called) == "called"


def test_data_for_a_transport_is_received(asyncio, loop, run, within, interrupt_poll):
    near, far = socket.socketpair()

    async def begin():
        reader, writer = await asyncio.open_connection(sock=near)
        return writer, loop.create_task(reader.read(10))

    with far:
        writer, waiting = run(begin())
        interrupt_poll(lambda: os.write(far.fileno(), b"data"))
        assert within(waiting) == b"data"

        async def end():
            writer.close()
            await writer.wait_closed()

        run(end())
