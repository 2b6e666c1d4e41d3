"""Sockets that are closed while something waits for them: they are found by the object, as selectors find them."""

import gc
import os
import socket
import weakref

import pytest


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


SIDES = [("add_reader", "remove_reader"), ("add_writer", "remove_writer")]


@pytest.mark.parametrize(("add", "remove"), SIDES)
def test_it_is_removed_once(loop, pair, add, remove):
    ours, _ = pair
    getattr(loop, add)(ours, print)
    ours.close()
    assert getattr(loop, remove)(ours) is True
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        getattr(loop, remove)(ours)


@pytest.fixture
def both_sides(impl):
    if impl == "stock":
        pytest.skip(
            "the selector fails to change what a closed socket is watched for, and forgets it by that"
        )


@pytest.mark.usefixtures("both_sides")
def test_one_side_after_the_other(loop, pair):
    ours, _ = pair
    loop.add_reader(ours, print)
    loop.add_writer(ours, print)
    ours.close()
    assert loop.remove_writer(ours) is True
    assert loop.remove_writer(ours) is False
    assert loop.remove_reader(ours) is True
    with pytest.raises(ValueError):
        loop.remove_reader(ours)


def test_an_unknown_one(loop, pair):
    ours, theirs = pair
    loop.add_reader(theirs, print)
    ours.close()
    for remove in loop.remove_reader, loop.remove_writer:
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            remove(ours)
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            remove(-1)
    assert loop.remove_reader(theirs) is True


def test_one_that_was_given_as_a_number(loop, pair):
    ours, _ = pair
    number = ours.fileno()
    loop.add_reader(number, print)
    ours.close()
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        loop.remove_reader(ours)
    assert loop.remove_reader(number) is True


@pytest.mark.usefixtures("both_sides")
def test_the_first_object_counts(loop, pair):
    """A selector keeps the object that it was registered with, and only changes what it waits for."""
    ours, _ = pair
    number = ours.fileno()
    loop.add_reader(ours, print)
    loop.add_writer(number, print)
    ours.close()
    assert loop.remove_writer(ours) is True
    assert loop.remove_reader(number) is True


def test_a_file_that_is_not_a_socket(loop):
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as file:
        loop.add_reader(file, print)
    with pytest.raises(ValueError, match="Invalid file object"):
        loop.remove_reader(file)
    # The method without the check finds it.
    assert loop._remove_reader(file) is True
    os.close(write)


def test_the_callback_is_not_called_any_more(loop, pair):
    ours, theirs = pair
    called = []
    loop.add_reader(ours, called.append, "called")
    ours.close()
    loop.remove_reader(ours)
    again, far = socket.socketpair()
    with again, far:
        far.send(b"x")
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
    assert called == []


def test_it_is_held_as_long_as_it_is_watched(loop):
    """A socket that nobody else refers to must not be closed under its reader."""
    ours, theirs = socket.socketpair()
    received = []

    fd = ours.fileno()

    def readable():
        received.append(os.read(fd, 10))
        loop.remove_reader(fd)
        loop.stop()

    loop.add_reader(ours, readable)
    alive = weakref.ref(ours)
    del ours
    gc.collect()
    assert alive() is not None
    theirs.send(b"x")
    with pytest.warns(ResourceWarning):
        loop.run_forever()
        gc.collect()
    assert received == [b"x"] and alive() is None
    theirs.close()


def test_a_loop_and_what_it_watches_are_collected(asyncio):
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    loop.add_reader(ours, print, loop)
    loop.add_writer(theirs, print, loop)
    alive = [weakref.ref(ours), weakref.ref(theirs)]
    ours.close()
    theirs.close()
    loop.close()
    del loop, ours, theirs
    gc.collect()
    assert [ref() for ref in alive] == [None, None]
