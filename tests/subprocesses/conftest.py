"""Each way of making and watching children, and a look at what is left of them."""

import contextlib
import os
import time

import pytest

WAYS = {
    "pidfd": {},
    "thread": {"FERRIO_CHILD_WATCHER": "thread"},
    "copy": {"FERRIO_SPAWN": "copy"},
}


@pytest.fixture(params=WAYS, autouse=True)
def way(request, impl, monkeypatch):
    """Each test runs with a pidfd per child, with a thread per child, and with children that copy the memory."""
    if impl != "ferrio" and request.param != "pidfd":
        pytest.skip("a setting of ferrio's")
    for name, value in WAYS[request.param].items():
        monkeypatch.setenv(name, value)
    return request.param


@pytest.fixture
def run(asyncio):
    """Run a coroutine; what the exception handler was told fails the test."""

    def run(coro):
        reported = []

        async def main():
            asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
            return await coro

        result = asyncio.run(main())
        assert reported == []
        return result

    return run


def descriptors():
    """The numbers of this process's open descriptors."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            found.add(int(name))
    return found


def children():
    """The processes that this one has made and nobody has reaped, from any of its threads."""
    found = set()
    for thread in os.listdir("/proc/self/task"):
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            open(f"/proc/self/task/{thread}/children") as file,
        ):
            found |= set(map(int, file.read().split()))
    return found


def wait_for_waiters():
    """Wait until the threads are gone that wait for children: each has a share of its loop's eventfd."""
    children_wait = True
    while children_wait:
        children_wait = False
        for thread in os.listdir("/proc/self/task"):
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError),
                open(f"/proc/self/task/{thread}/comm") as name,
            ):
                children_wait |= name.read() == "ferrio-waitpid\n"
        time.sleep(0)


@pytest.fixture
def left():
    """What a test must leave as it was: returns (children, descriptors) that are new."""
    known, opened = children(), descriptors()

    def left():
        new = children() - known
        if not new:
            wait_for_waiters()
        return new, descriptors() - opened

    return left
