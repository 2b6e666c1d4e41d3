"""StreamWriter and the protocol behind it, over a transport that is no socket."""

import gc
import warnings
import weakref

import pytest


@pytest.fixture
def stream(asyncio, loop, transport):
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    yield reader, writer, protocol
    transport.closing = True


def drive(coro):
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    return stop.value.value


def test_the_writer_passes_on(stream, transport):
    _, writer, _ = stream
    transport.info["peername"] = "there"
    writer.write(b"a")
    writer.writelines([b"b", b"c"])
    writer.write_eof()
    assert transport.written == [b"a", b"b", b"c"]
    assert writer.can_write_eof() is True
    assert writer.transport is transport
    assert writer.get_extra_info("peername") == "there"
    assert writer.get_extra_info("nonesuch", 3) == 3
    assert writer.is_closing() is False
    writer.close()
    assert writer.is_closing() is True
    assert transport.calls == ["write_eof", "close"]


def test_drain_has_nothing_to_wait_for(stream):
    assert drive(stream[1].drain()) is None


def test_drains_wait_until_the_protocol_is_resumed(asyncio, loop, stream):
    _, writer, protocol = stream

    async def main():
        protocol.pause_writing()
        with pytest.raises(AssertionError):
            protocol.pause_writing()
        drains = [loop.create_task(writer.drain()) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(protocol._drain_waiters) == 3
        drains[0].cancel()
        protocol.resume_writing()
        with pytest.raises(AssertionError):
            protocol.resume_writing()
        with pytest.raises(asyncio.CancelledError):
            await drains[0]
        await drains[1]
        await drains[2]
        assert not protocol._drain_waiters

    loop.run_until_complete(main())


def test_a_lost_connection_ends_drains(asyncio, loop, stream):
    _, writer, protocol = stream

    async def main():
        protocol.pause_writing()
        drain = loop.create_task(writer.drain())
        await asyncio.sleep(0)
        error = BrokenPipeError("x")
        protocol.connection_lost(error)
        with pytest.raises(BrokenPipeError) as info:
            await drain
        assert info.value is error
        with pytest.raises(BrokenPipeError):
            await writer.drain()  # the reader failed with it
        with pytest.raises(BrokenPipeError):
            await writer.wait_closed()

    loop.run_until_complete(main())


def test_drain_on_a_closing_transport_lets_the_loop_turn(asyncio, loop, stream, transport):
    _, writer, protocol = stream

    async def main():
        writer.close()
        loop.call_soon(protocol.connection_lost, None)
        with pytest.raises(ConnectionResetError, match="Connection lost"):
            await writer.drain()
        await writer.wait_closed()

    loop.run_until_complete(main())


def test_an_exception_of_the_reader_is_raised_by_drain(loop, stream):
    reader, writer, _ = stream
    reader.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        writer.drain().send(None)


# Stock's `__del__` stumbles over a writer whose `__init__` failed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_writer_without_a_reader(asyncio, loop, transport, stream):
    writer = asyncio.StreamWriter(transport, stream[2], None, loop)
    drive(writer.drain())
    assert repr(writer) == f"<StreamWriter transport={transport!r}>"
    with pytest.raises(AssertionError):
        asyncio.StreamWriter(transport, stream[2], object(), loop)


def test_an_unclosed_writer_is_closed_and_reported(asyncio, loop, make_transport):
    transport = make_transport()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    with pytest.warns(ResourceWarning, match=r"unclosed <StreamWriter transport="):
        del writer
        gc.collect()
    assert transport.calls == ["close"]


def test_an_unclosed_writer_of_a_closed_loop_is_reported(asyncio, make_transport):
    loop = asyncio.new_event_loop()
    transport = make_transport()
    writer = asyncio.StreamWriter(transport, None, None, loop)
    loop.close()
    with pytest.warns(ResourceWarning, match="loop is closed"):
        del writer
        gc.collect()
    assert transport.calls == []


def test_a_complete_future(stream, loop):
    assert stream[1]._complete_fut.done()


# -- the protocol ---------------------------------------------------------------


def test_it_is_a_protocol(asyncio, stream):
    protocol = stream[2]
    assert isinstance(protocol, asyncio.Protocol)
    assert isinstance(protocol, asyncio.streams.FlowControlMixin)
    assert [base.__name__ for base in type(protocol).__mro__] == [
        "StreamReaderProtocol",
        "FlowControlMixin",
        "Protocol",
        "BaseProtocol",
        "object",
    ]


def test_the_reader_is_held_weakly(asyncio, loop):
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    assert protocol._stream_reader is reader
    del reader
    assert protocol._stream_reader is None
    protocol.data_received(b"nobody reads this")
    assert protocol.eof_received() is True
    protocol.connection_lost(None)


def test_a_server_holds_the_reader_until_the_callback(asyncio, loop, transport):
    got = []
    reader = asyncio.StreamReader(loop=loop)
    ref = weakref.ref(reader)
    protocol = asyncio.StreamReaderProtocol(reader, lambda *args: got.append(args), loop=loop)
    del reader
    assert ref() is not None
    protocol.connection_made(transport)
    assert got[0][0] is ref()
    assert got[0][1].transport is transport
    got[0][1].close()
    protocol.connection_lost(None)
    got.clear()
    assert ref() is None


def test_the_callback_becomes_a_task_whose_failure_is_reported(asyncio, loop, transport):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def connected(reader, writer):
        raise ZeroDivisionError("x")

    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, connected, loop=loop)
    protocol.connection_made(transport)
    task = protocol._task
    loop.run_until_complete(asyncio.wait([task]))
    assert [report["message"] for report in reports] == ["Unhandled exception in client_connected_cb"]
    assert reports[0]["exception"] is task.exception()
    assert reports[0]["transport"] is transport
    assert transport.calls == ["close"]


def test_eof_over_tls(asyncio, loop, transport):
    transport.info["sslcontext"] = object()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    protocol.connection_made(transport)
    assert protocol.eof_received() is False
    assert reader.at_eof()


def test_an_error_nobody_asked_for_is_not_reported(asyncio, loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    protocol.connection_lost(OSError("x"))
    del protocol, reader
    gc.collect()
    assert reports == []


def test_start_tls_of_a_loop_without_tls(asyncio, loop, stream):
    def start_tls(*args, **kwargs):
        raise NotImplementedError

    loop.start_tls = start_tls
    with pytest.raises(NotImplementedError):
        loop.run_until_complete(stream[1].start_tls(object()))


def test_start_tls_replaces_the_transport(asyncio, loop, stream, make_transport):
    reader, writer, protocol = stream
    upgraded = make_transport()
    upgraded.info["sslcontext"] = context = object()
    calls = []

    async def start_tls(transport, protocol, sslcontext, **kwargs):
        calls.append((transport, protocol, sslcontext, kwargs))
        return upgraded

    loop.start_tls = start_tls
    old = writer.transport
    loop.run_until_complete(writer.start_tls(context, server_hostname="host"))
    assert writer.transport is upgraded
    assert protocol._transport is upgraded
    assert protocol.eof_received() is False
    ((transport, told, sslcontext, kwargs),) = calls
    assert (transport, told, sslcontext) == (old, protocol, context)
    assert kwargs["server_side"] is False
    assert kwargs["server_hostname"] == "host"
    upgraded.closing = True


# -- cycles ---------------------------------------------------------------------


class Sentinel:
    """Weakly referenceable, and found by the collector or not."""


def collected(make):
    sentinel = Sentinel()
    ref = weakref.ref(sentinel)
    make(sentinel)
    del sentinel
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gc.collect()
    return ref() is None


@pytest.mark.parametrize("attribute", ["_transport", "_exception", "_waiter", "anything"])
def test_a_cycle_through_a_reader(asyncio, loop, attribute):
    def make(sentinel):
        reader = asyncio.StreamReader(loop=loop)
        setattr(reader, attribute, sentinel)
        sentinel.held = reader

    assert collected(make)


@pytest.mark.parametrize("attribute", ["_client_connected_cb", "_task", "_closed", "anything"])
def test_a_cycle_through_a_protocol(asyncio, loop, attribute):
    def make(sentinel):
        protocol = asyncio.StreamReaderProtocol(None, loop=loop)
        if attribute == "_closed":
            protocol._closed.add_done_callback(lambda fut, s=sentinel: None)
        else:
            setattr(protocol, attribute, sentinel)
        sentinel.held = protocol

    assert collected(make)


def test_a_cycle_through_a_drain_that_waits(asyncio, loop, make_transport):
    def make(sentinel):
        transport = make_transport()
        transport.closing = True
        protocol = asyncio.StreamReaderProtocol(None, loop=loop)
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        protocol.pause_writing()
        drain = protocol._drain_helper()
        drain.send(None)
        sentinel.held = (drain, writer)
        protocol.sentinel = sentinel

    assert collected(make)


def test_a_cycle_through_a_read_that_waits(asyncio, loop):
    def make(sentinel):
        reader = asyncio.StreamReader(loop=loop)
        read = reader.readline()
        read.send(None)
        reader.held = sentinel
        sentinel.held = read

    assert collected(make)


def test_a_cycle_through_a_read_that_is_passed_on(asyncio, loop):
    class Reader(asyncio.StreamReader):
        async def _wait_for_data(self, func_name):
            await super()._wait_for_data(func_name)

    def make(sentinel):
        reader = Reader(loop=loop)
        read = reader.readline()
        read.send(None)
        reader.held = sentinel
        sentinel.held = read

    assert collected(make)


def test_a_cycle_through_a_writer(asyncio, loop, make_transport):
    def make(sentinel):
        transport = make_transport()
        transport.closing = True
        transport.held = sentinel
        sentinel.held = asyncio.StreamWriter(transport, sentinel, None, loop)

    assert collected(make)
