"""The `__dict__` of a stream's protocol: asyncio has its state there; programs read, copy, change and restore it."""

import socket
import sys
import weakref

import pytest


@pytest.fixture
def run(loop):
    return loop.run_until_complete


@pytest.fixture
def socket_pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def protocol(asyncio, run):
    async def make():
        return asyncio.StreamReaderProtocol(asyncio.StreamReader())

    return run(make())


FIELDS = {
    "_loop",
    "_paused",
    "_connection_lost",
    "_drain_waiters",
    "_stream_reader_wr",
    "_source_traceback",
    "_reject_connection",
    "_task",
    "_transport",
    "_client_connected_cb",
    "_over_ssl",
    "_closed",
} | ({"_stream_writer"} if sys.version_info < (3, 13) else set())


def test_it_has_what_the_attributes_show(protocol):
    protocol.own = "mine"
    assert set(vars(protocol)) == FIELDS | {"own"}
    for name in FIELDS - {"_drain_waiters"}:
        assert vars(protocol)[name] is getattr(protocol, name), name
    assert list(vars(protocol)["_drain_waiters"]) == []
    assert vars(protocol)["own"] == "mine"


def test_attributes_and_the_dict_stay_one(protocol):
    state = protocol.__dict__
    assert protocol.__dict__ is state
    protocol._paused = True
    assert state["_paused"] is True
    state["_paused"] = False
    assert protocol._paused is False
    protocol._over_ssl = True
    state["_task"] = "a task"
    assert (state["_over_ssl"], protocol._task) == (True, "a task")
    protocol.__dict__ = state | {"_reject_connection": True}
    assert protocol._reject_connection is True
    state["_reject_connection"] = False
    assert protocol._reject_connection is True


def test_methods_change_it(run, protocol):
    async def main():
        state = vars(protocol)
        protocol.pause_writing()
        assert state["_paused"] is True
        protocol.resume_writing()
        assert state["_paused"] is False
        closed = state["_closed"]
        protocol.connection_lost(None)
        assert state["_connection_lost"] is True
        assert state["_stream_reader_wr"] is None
        assert closed.done()

    run(main())


def test_what_is_put_there_counts(asyncio, run, protocol, transport):
    """Paused by the dict: a drain waits until the protocol is resumed."""

    async def main():
        writer = asyncio.StreamWriter(transport, protocol, None, asyncio.get_running_loop())
        await writer.drain()
        vars(protocol)["_paused"] = True
        draining = asyncio.create_task(writer.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        protocol.resume_writing()
        await draining
        vars(protocol)["_connection_lost"] = True
        with pytest.raises(ConnectionResetError):
            await writer.drain()
        vars(protocol).update({"_connection_lost": False})
        await writer.drain()
        transport.close()

    run(main())


def test_an_end_that_is_taken_back(asyncio, run, socket_pair):
    """As aioconsole does it: one protocol for stdin and stdout, whose reading end may close first."""

    class Both(asyncio.StreamReaderProtocol):
        def connection_lost(self, exc):
            state = self.__dict__.copy()
            super().connection_lost(exc)
            self.__dict__.update(state)

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket_pair
        reader = asyncio.StreamReader()
        protocol = Both(reader)
        transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        protocol.connection_lost(None)
        assert await reader.read() == b""
        writer.write(b"still open")
        await writer.drain()
        assert theirs.recv(100) == b"still open"
        assert protocol._stream_reader is reader
        transport.abort()

    run(main())


def test_another_reader_in_the_dict_is_fed(asyncio, run, socket_pair):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket_pair
        first, second = asyncio.StreamReader(), asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(first)
        transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
        theirs.send(b"1")
        assert await first.readexactly(1) == b"1"
        vars(protocol)["_stream_reader_wr"] = weakref.ref(second)
        theirs.send(b"2")
        assert await asyncio.wait_for(second.readexactly(1), 20) == b"2"
        transport.abort()

    run(main())
