"""What the programs of this directory are made of: witnesses, plain peers, and what must hold when a program is over.

``python witness.py MODULE PROGRAM`` runs one program under whatever ``asyncio`` is by then (``implementation.py``).  It
fails if a callback comes out of order, if the loop's exception handler or ``sys.unraisablehook`` was told anything
that the program did not take out of ``reported``, and if a descriptor, a task, a protocol or a transport is left.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import socket
import struct
import sys
import warnings
import weakref
from collections.abc import Awaitable, Callable
from typing import NamedTuple

PROGRAMS = {}

# What the loop's exception handler was told.  A program that expects something takes it out.
reported = []

# Everything that must be gone in the end.
_witnesses = weakref.WeakSet()
_transports = weakref.WeakSet()


class Program(NamedTuple):
    module: str
    function: Callable[[], Awaitable[None]]
    beyond: str | None


def program(function=None, *, beyond=None):
    """Mark a coroutine function as a program.

    beyond: what stock asyncio does here instead; it is not asked then.
    """

    def mark(function):
        PROGRAMS[function.__name__] = Program(function.__module__, function, beyond)
        return function

    return mark(function) if function is not None else mark


class _Told:
    """Notes what a protocol is told, and holds the loop to the order in which that may come."""

    keep_open = False

    def __init__(self):
        self.transport = None
        self.received = bytearray()
        self.eof = self.lost = self.paused = False
        self.error = None
        self._waiters = []
        _witnesses.add(self)

    def _note(self):
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def until(self, condition):
        """Wait until *condition* holds, looking whenever the protocol is told something."""
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def until_lost(self):
        await self.until(lambda: self.lost)
        return self.error

    def connection_made(self, transport):
        assert self.transport is None, "connection_made() for the second time"
        self.transport = transport
        _transports.add(transport)
        self._note()

    def _received(self, data):
        assert self.transport is not None and not self.lost and not self.eof
        self.received += data
        self._note()

    def eof_received(self):
        assert self.transport is not None and not self.lost and not self.eof
        self.eof = True
        self._note()
        return self.keep_open

    def pause_writing(self):
        assert not self.paused and not self.lost
        self.paused = True
        self._note()

    def resume_writing(self):
        assert self.paused and not self.lost
        self.paused = False
        self._note()

    def connection_lost(self, exc):
        assert self.transport is not None and not self.lost, "connection_lost() for the second time"
        self.lost, self.error = True, exc
        self._note()


class Plain(_Told, asyncio.Protocol):
    """Gets its data as bytes."""

    def data_received(self, data):
        self._received(data)


class Buffered(_Told, asyncio.BufferedProtocol):
    """Gets its data in a buffer of its own."""

    def __init__(self):
        super().__init__()
        self.buffer = bytearray(16384)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self._received(self.buffer[:nbytes])


KINDS = (Plain, Buffered)


def reset(sock):
    """Close a TCP socket with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def listen(address=("127.0.0.1", 0), backlog=128):
    sock = socket.create_server(address, backlog=backlog)
    sock.setblocking(False)
    return sock


def sockets(*, small=False):
    """Two plain sockets connected over TCP; *small*: with the smallest buffers that the kernel gives."""
    with listen() as listening:
        ours = socket.socket()
        if small:
            # Before the connection is made: afterwards the window has been told.
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        ours.connect(listening.getsockname())
        listening.setblocking(True)
        peer, _ = listening.accept()
    ours.setblocking(False)
    peer.setblocking(False)
    return ours, peer


async def pair(kind=Plain, **options):
    """A protocol over TCP and the plain socket at the other end."""
    ours, peer = sockets(**options)
    _, protocol = await asyncio.get_running_loop().create_connection(kind, sock=ours)
    return protocol, peer


async def stream_pair(**options):
    """(reader, writer, the plain socket at the other end), over TCP."""
    ours, peer = sockets(**options)
    reader, writer = await asyncio.open_connection(sock=ours)
    _transports.add(writer.transport)
    return reader, writer, peer


async def turns(count=5):
    """Let the loop look at its descriptors that many times."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        # Readiness is looked at again after a bounded number of turns, not in each: a pipe's own is a look for sure.
        read, write = os.pipe()
        looked = loop.create_future()
        loop.add_reader(read, lambda looked=looked: looked.done() or looked.set_result(None))
        os.write(write, b"x")
        await looked
        loop.remove_reader(read)
        os.close(read)
        os.close(write)


def move(sock, number):
    """*sock* under the given descriptor, which must be free."""
    if sock.fileno() == number:
        return sock
    try:
        os.fstat(number)
    except OSError:
        os.dup2(sock.fileno(), number, inheritable=False)
        sock.close()
        moved = socket.socket(fileno=number)
        moved.setblocking(False)
        return moved
    raise AssertionError(f"{number} is in use")


def on_number(number):
    """A connected pair of plain sockets of which the first has the given descriptor."""
    ours, peer = socket.socketpair()
    if peer.fileno() == number:
        ours, peer = peer, ours
    peer.setblocking(False)
    ours.setblocking(False)
    return move(ours, number), peer


async def receive_all(sock):
    """Everything until the end of the stream."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while chunk := await loop.sock_recv(sock, 1 << 20):
        data += chunk
    return bytes(data)


def is_reset(exc):
    """Whether *exc* is what the kernel says of a connection that was reset."""
    return isinstance(exc, (ConnectionResetError, BrokenPipeError))


def descriptors():
    """The open descriptors of this process and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that listdir() itself used
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def play(name):
    """Run a program and hold it to what is said above."""
    unraisable = []
    warnings.simplefilter("error")
    sys.unraisablehook = lambda told: unraisable.append((told.exc_value, told.err_msg, repr(told.object)))
    before = descriptors()

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
        await PROGRAMS[name].function()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, others

    asyncio.run(main())
    gc.collect()
    assert not reported, reported
    assert not unraisable, unraisable
    assert not list(_witnesses), list(_witnesses)[:3]
    assert not list(_transports), list(_transports)[:3]
    after = descriptors()
    assert after == before, after.items() ^ before.items()


if __name__ == "__main__":
    # As the module that the programs import: they must find the registry that is looked into here.
    sys.modules["witness"] = sys.modules["__main__"]
    importlib.import_module(sys.argv[1])
    play(sys.argv[2])
