"""Suspends each coroutine of the library in a cycle with its owner, closes or drops the loop, and collects.

A program for ``implementation.py``: prints a JSON line ``[case, how the loop ended, whether the owner died]`` for each.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import socket
import sys
import tempfile
import warnings
import weakref

CASES = {}


def case(function):
    """`function(loop, owner)` gives the coroutine that is to wait for ever."""
    CASES[function.__name__] = function
    return function


class Owner:
    pass


async def never(*_args, **_kwargs):
    await asyncio.get_running_loop().create_future()


async def fails_after_a_while():
    await never()


def connected(owner):
    owner.pair = socket.socketpair()
    for sock in owner.pair:
        sock.setblocking(False)
    return owner.pair[0]


def full(owner):
    sock = connected(owner)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(1 << 16))
    return sock


@case
def sleep(loop, owner):
    return asyncio.sleep(1000, owner)


@case
def wait_for(loop, owner):
    return asyncio.wait_for(loop.create_future(), 1000)


async def stubborn_task(loop):
    """A task, begun, that does not end when it is cancelled."""

    async def stubborn():
        with contextlib.suppress(asyncio.CancelledError):
            await never()
        await never()

    task = loop.create_task(stubborn())
    task._log_destroy_pending = False
    await asyncio.sleep(0)
    return task


@case
async def wait_for_whose_time_is_up(loop, owner):
    owner.stubborn = await stubborn_task(loop)
    await asyncio.wait_for(owner.stubborn, 0)


@case
async def cancel_and_wait(loop, owner):
    owner.stubborn = await stubborn_task(loop)
    # Newer Pythons have it no more.
    wait = getattr(asyncio.tasks, "_cancel_and_wait", never)
    await wait(owner.stubborn)


@case
def wait(loop, owner):
    return asyncio.wait([loop.create_future()], timeout=1000)


@case
async def as_completed(loop, owner):
    for coro in asyncio.as_completed([loop.create_future()], timeout=1000):
        await coro


@case
async def task_group(loop, owner):
    async with asyncio.TaskGroup() as group:
        group.create_task(never())._log_destroy_pending = False


@case
async def timeout(loop, owner):
    async with asyncio.timeout(1000):
        await never()


@case
def staggered_race(loop, owner):
    from asyncio.staggered import staggered_race

    return staggered_race([fails_after_a_while, fails_after_a_while], 1000)


@case
def shutdown_default_executor(loop, owner):
    # The executor is a mock, or its thread would never end.
    class Executor:
        def shutdown(self, wait):
            pass

    loop._default_executor = Executor()
    owner.call_soon_threadsafe = loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda *_args: None
    return loop.shutdown_default_executor()


@case
def sock_recv(loop, owner):
    return loop.sock_recv(connected(owner), 10)


@case
def sock_recv_into(loop, owner):
    return loop.sock_recv_into(connected(owner), bytearray(10))


@case
def sock_recvfrom(loop, owner):
    return loop.sock_recvfrom(connected(owner), 10)


@case
def sock_recvfrom_into(loop, owner):
    return loop.sock_recvfrom_into(connected(owner), bytearray(10))


@case
def sock_sendall(loop, owner):
    return loop.sock_sendall(full(owner), bytes(1 << 16))


@case
def sock_sendall_of_a_view(loop, owner):
    return loop.sock_sendall(full(owner), memoryview(bytes(1 << 16)))


@case
def sock_sendto(loop, owner):
    directory = tempfile.TemporaryDirectory()
    owner.directory = directory
    owner.target = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    owner.target.bind(directory.name + "/full")
    owner.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    owner.sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            owner.sock.sendto(b"datagram", directory.name + "/full")
    return loop.sock_sendto(owner.sock, b"datagram", directory.name + "/full")


@case
def sock_accept(loop, owner):
    owner.listener = socket.create_server(("127.0.0.1", 0))
    owner.listener.setblocking(False)
    return loop.sock_accept(owner.listener)


def unresolved(loop):
    """Lookups on this loop never end."""
    loop.getaddrinfo = never
    return "a.name.invalid", 80


@case
def sock_connect(loop, owner):
    owner.sock = socket.socket()
    owner.sock.setblocking(False)
    return loop.sock_connect(owner.sock, unresolved(loop))


@case
def create_connection(loop, owner):
    return loop.create_connection(asyncio.Protocol, *unresolved(loop))


def stuck(loop, owner):
    """Sockets of this loop never get connected."""
    loop.sock_connect = never
    owner.listener = socket.create_server(("127.0.0.1", 0))
    return owner.listener.getsockname()


@case
def create_connection_that_connects(loop, owner):
    return loop.create_connection(asyncio.Protocol, *stuck(loop, owner))


@case
def create_connection_with_happy_eyeballs(loop, owner):
    return loop.create_connection(asyncio.Protocol, *stuck(loop, owner), happy_eyeballs_delay=1000)


@case
def create_unix_connection(loop, owner):
    loop.sock_connect = never
    return loop.create_unix_connection(asyncio.Protocol, "/nowhere")


@case
def create_server(loop, owner):
    return loop.create_server(asyncio.Protocol, *unresolved(loop))


@case
def create_server_on_two_hosts(loop, owner):
    name, port = unresolved(loop)
    return loop.create_server(asyncio.Protocol, [name, f"b.{name}"], port)


@case
def create_datagram_endpoint(loop, owner):
    return loop.create_datagram_endpoint(asyncio.DatagramProtocol, unresolved(loop))


@case
def open_connection(loop, owner):
    return asyncio.open_connection(*unresolved(loop))


@case
def start_server(loop, owner):
    return asyncio.start_server(print, *unresolved(loop))


@case
async def serve_forever(loop, owner):
    owner.server = await asyncio.start_server(print, "127.0.0.1", 0)
    await owner.server.serve_forever()


@case
async def drain_and_wait_closed(loop, owner):
    owner.reader, owner.writer = await asyncio.open_connection(sock=full(owner))
    owner.writer.write(bytes(1 << 20))
    await owner.writer.drain()


@case
async def read(loop, owner):
    owner.reader, owner.writer = await asyncio.open_connection(sock=connected(owner))
    await owner.reader.readuntil(b"\n")


@case
def sock_sendfile(loop, owner):
    owner.file = open(__file__, "rb")  # noqa: SIM115
    return loop.sock_sendfile(full(owner), owner.file)


@case
def sock_sendfile_through_memory(loop, owner):
    owner.file = open(__file__, "rb")  # noqa: SIM115
    loop.run_in_executor = lambda *_args: loop.create_future()
    return loop._sock_sendfile_fallback(connected(owner), owner.file, 0, None)


@case
async def sendfile(loop, owner):
    owner.file = open(__file__, "rb")  # noqa: SIM115
    owner.transport, owner.protocol = await loop.create_connection(asyncio.Protocol, sock=full(owner))
    owner.transport.write(bytes(1 << 20))
    await loop.sendfile(owner.transport, owner.file)


if os.environ.get("FERRIO_TEST_IMPL", "ferrio") == "ferrio":
    from ferrio import extras

    @case
    def sock_recvmsg(loop, owner):
        return loop.sock_recvmsg(connected(owner), 10)

    @case
    def sock_recvmsg_into(loop, owner):
        return loop.sock_recvmsg_into(connected(owner), [bytearray(10)])

    @case
    def sock_sendmsg(loop, owner):
        return loop.sock_sendmsg(full(owner), [bytes(1 << 16)])

    @case
    def gather_limited(loop, owner):
        return extras.gather_limited(1, never(), never())


def suspend(name, how):
    """A weak reference to the owner of a task that waits, after its loop has been closed, or forgotten."""
    loop, owner = asyncio.new_event_loop(), Owner()

    async def main(owner=owner):
        async def waits():
            await CASES[name](loop, owner)

        owner.task = loop.create_task(waits())
        owner.task._log_destroy_pending = False
        for _ in range(8):
            await asyncio.sleep(0)
        if name == "shutdown_default_executor":
            await asyncio.sleep(0.01)
        assert not owner.task.done(), owner.task

    loop.run_until_complete(main())
    if how == "closed":
        loop.close()
    return weakref.ref(owner)


def main():
    warnings.simplefilter("ignore")
    logging.disable()
    sys.unraisablehook = lambda _args: None
    for name in CASES:
        for how in ("closed", "dropped"):
            reference = suspend(name, how)
            for _ in range(3):
                gc.collect()
            print(json.dumps([name, how, reference() is None]), flush=True)


if __name__ == "__main__":
    main()
