"""Fixtures and hypothesis's profile for every test below this directory; warnings are errors by pyproject.toml."""

import signal
import socket
import struct

import implementation
import pytest
import random_scripts

# A shell starts background jobs with SIGINT ignored, and a program started by a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

random_scripts.load_profile()

SECONDS = 30
"""Against hangs only."""


@pytest.fixture(scope="session")
def impl():
    """Name of the implementation under test: ``FERRIO_TEST_IMPL``, or ferrio; ``stock`` is the interpreter's."""
    return implementation.chosen()


@pytest.fixture(scope="session")
def asyncio(impl):
    """The package under test."""
    return implementation.package(impl)


@pytest.fixture
def clean_run(run):
    """A folder's `run`; what the exception handler was told and the test did not take out fails the test."""
    yield run
    assert run.reported == []


@pytest.fixture
def noting(asyncio):
    """A base of protocol classes whose instances note every call in `calls`; data is gathered in `data`."""

    class Noting(asyncio.BaseProtocol):
        keep_open = False

        def __init__(self):
            self.calls = []
            self.data = bytearray()
            self.changed = asyncio.Event()
            self.lost = asyncio.get_running_loop().create_future()

        def note(self, *call):
            self.calls.append(call if len(call) > 1 else call[0])
            self.changed.set()

        def took(self, data):
            # How much comes at a time is not what a test should hang on.
            self.data += data
            if self.calls[-1:] != ["data"]:
                self.calls.append("data")
            self.changed.set()

        def connection_made(self, transport):
            self.transport = transport
            self.note("made")

        def eof_received(self):
            self.note("eof")
            return self.keep_open

        def pause_writing(self):
            self.note("pause")

        def resume_writing(self):
            self.note("resume")

        def connection_lost(self, exc):
            self.note("lost", type(exc))
            if not self.lost.done():
                self.lost.set_result(exc)

        async def until(self, condition):
            """Wait until *condition(self)* holds."""
            while not condition(self):
                self.changed.clear()
                await asyncio.wait_for(self.changed.wait(), SECONDS)

        async def receive(self, count):
            """Wait for *count* bytes and take them out; it is an error if there are more."""
            await self.until(lambda self: len(self.data) >= count)
            taken = bytes(self.data)
            assert len(taken) == count
            self.data.clear()
            return taken

    return Noting


@pytest.fixture
def polled(loop):
    """`await polled()` has the loop ask the system once: what could be read before has been handed out after."""

    async def polled():
        seen = loop.create_future()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.add_reader(ours, lambda: seen.done() or seen.set_result(None))
            theirs.send(b"x")
            await seen
            loop.remove_reader(ours)

    return polled


@pytest.fixture
def reset():
    """Close a TCP socket with a RST."""

    def reset(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    return reset
