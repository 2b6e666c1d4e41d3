"""A selector of the program's own is what the loop waits with, and `_selector` is one on every loop."""

import os
import selectors
import signal
import socket
import threading

import pytest


class Counting(selectors.DefaultSelector):
    """Notes what it is asked."""

    def __init__(self):
        super().__init__()
        self.timeouts = []

    def select(self, timeout=None):
        self.timeouts.append(timeout)
        return super().select(timeout)


@pytest.fixture
def selector():
    return Counting()


@pytest.fixture
def loop(asyncio, selector):
    loop = asyncio.SelectorEventLoop(selector)
    yield loop
    loop.close()


async def echo(asyncio):
    async def handler(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    data = await reader.read()
    writer.close()
    server.close()
    return data


def test_everything_goes_on(loop, clean_run, asyncio, selector):
    async def main():
        assert await echo(asyncio) == b"HELLO\n"
        assert await loop.run_in_executor(None, lambda: 5) == 5
        await asyncio.sleep(0.001)
        read, write = os.pipe()
        pipe = os.fdopen(read, "rb", buffering=0)
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        os.write(write, b"x")
        os.close(write)
        assert await reader.read() == b"x"
        transport.close()
        ours, theirs = socket.socketpair()
        for sock in ours, theirs:
            sock.setblocking(False)
        await loop.sock_sendall(theirs, b"y")
        assert await loop.sock_recv(ours, 10) == b"y"
        ours.close()
        theirs.close()
        loop.call_soon_threadsafe(int)

    clean_run(main())
    assert None in selector.timeouts or max(timeout or 0 for timeout in selector.timeouts) > 0
    assert 0 in selector.timeouts


def test_a_thread_wakes_it(loop, selector):
    """While it waits without end."""
    waits = threading.Event()
    select = selector.select

    def noting(timeout=None):
        if timeout is None:
            waits.set()
        return select(timeout)

    selector.select = noting

    def thread():
        waits.wait(30)
        loop.call_soon_threadsafe(loop.stop)

    other = threading.Thread(target=thread)
    other.start()
    loop.run_forever()
    other.join()
    assert waits.is_set()


def test_readers_and_writers_are_registered_with_it(loop, selector):
    ours, theirs = socket.socketpair()
    before = set(selector.get_map())
    called = []
    with ours, theirs:
        loop.add_reader(ours, called.append, "reader")
        key = selector.get_key(ours)
        assert key.fileobj is ours and key.events == selectors.EVENT_READ
        reader, writer = key.data
        assert reader._callback == called.append and writer is None
        loop.add_writer(ours.fileno(), called.append, "writer")
        key = selector.get_key(ours)
        assert key.events == selectors.EVENT_READ | selectors.EVENT_WRITE and key.data[0] is reader
        theirs.send(b"x")
        for _ in range(2):
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert called == ["reader", "writer", "reader", "writer"]
        assert loop.remove_writer(ours) is True and loop.remove_writer(ours) is False
        # Replaced: the handle before is cancelled.
        loop.add_reader(ours, called.append, "again")
        assert reader.cancelled()
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert called[-1] == "again"
        assert loop.remove_reader(ours) is True and loop.remove_reader(ours) is False
    assert set(selector.get_map()) == before


def test_it_is_closed_with_the_loop(asyncio, selector):
    loop = asyncio.SelectorEventLoop(selector)
    assert loop._selector is selector and len(selector.get_map()) == 1
    loop.close()
    assert loop._selector is None and selector.get_map() is None


def test_select_of_an_instance(asyncio):
    """A standard selector whose `select()` has been replaced before the loop was made."""
    selector = selectors.DefaultSelector()
    select = selector.select
    timeouts = []
    selector.select = lambda timeout=None: timeouts.append(timeout) or select(timeout)
    loop = asyncio.SelectorEventLoop(selector)
    assert loop.run_until_complete(echo(asyncio)) == b"HELLO\n"
    assert timeouts
    loop.close()


@pytest.mark.parametrize("kind", ["DefaultSelector", "SelectSelector", "PollSelector"])
def test_the_standard_ones(asyncio, kind):
    loop = asyncio.SelectorEventLoop(getattr(selectors, kind)())
    assert loop.run_until_complete(echo(asyncio)) == b"HELLO\n"
    loop.close()


def test_an_ordinary_loop_has_one(asyncio):
    loop = asyncio.new_event_loop()
    selector = loop._selector
    assert isinstance(selector, selectors.BaseSelector) and loop._selector is selector
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.add_reader(ours, int)
        key = selector.get_key(ours)
        assert key.fd == ours.fileno() and key.fileobj is ours and key.events == selectors.EVENT_READ
        assert ours.fileno() in selector.get_map()
        with pytest.raises(KeyError):
            selector.get_key(theirs)
        loop.remove_reader(ours)
        assert ours.fileno() not in selector.get_map()
    assert selector.select(0) == []
    loop.close()
    assert loop._selector is None


def test_what_it_finds_is_not_lost(asyncio):
    """`select()` called from outside, and its result dropped: asyncio's finds the same again."""

    async def main():
        async def handler(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x\n")
        for _ in range(20):
            loop._selector.select(0)
            await asyncio.sleep(0)
        assert await reader.read() == b"x\n"
        writer.close()
        server.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()


def test_select_replaced_on_an_ordinary_loop(asyncio):
    """In the middle of a run, for a while: virtual clocks and monitors do that."""
    timeouts = []

    async def main():
        loop = asyncio.get_running_loop()
        selector = loop._selector
        select = selector.select
        selector.select = lambda timeout=None: timeouts.append(timeout) or select(timeout)
        await asyncio.sleep(0.001)
        assert await echo(asyncio) == b"HELLO\n"
        del selector.select
        seen = len(timeouts)
        assert seen
        await asyncio.sleep(0.001)
        assert len(timeouts) <= seen + 1

    asyncio.run(main())


def test_a_signal_while_it_waits(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    loop.run_forever()
    timer.join()
    loop.remove_signal_handler(signal.SIGUSR1)


def test_one_that_is_put_in_later(asyncio, impl):
    if impl == "stock":
        pytest.skip("asyncio's own pipe stays with the selector before, so that threads cannot wake it")
    loop = asyncio.new_event_loop()
    if loop.driver == "io_uring":
        # It has no descriptor that a selector could watch: refused at once, and the loop goes on with its driver.
        with pytest.raises(RuntimeError, match="io_uring"), Counting() as refused:
            loop._selector = refused
        assert loop.run_until_complete(echo(asyncio)) == b"HELLO\n"
        loop.close()
        return
    loop._selector = selector = Counting()
    assert loop.run_until_complete(echo(asyncio)) == b"HELLO\n"
    assert loop.run_until_complete(loop.run_in_executor(None, lambda: 5)) == 5
    assert selector.timeouts
    loop.close()
