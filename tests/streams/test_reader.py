"""StreamReader: what reads give, when they wait, how they end."""

import pytest


@pytest.fixture
def reader(asyncio, loop):
    return asyncio.StreamReader(loop=loop)


def drive(coro):
    """Run a coroutine that has nothing to wait for."""
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    return stop.value.value


# -- laziness -------------------------------------------------------------------


def test_nothing_is_read_before_the_first_step(reader):
    reader.feed_data(b"a line\n")
    reader.readline().close()
    reader.read(3).close()
    assert bytes(reader._buffer) == b"a line\n"


def test_a_data_read_needs_one_step(reader):
    reader.feed_data(b"a line\nmore")
    assert drive(reader.readline()) == b"a line\n"
    assert drive(reader.read(2)) == b"mo"
    assert drive(reader.readexactly(1)) == b"r"
    assert drive(reader.readuntil(b"e")) == b"e"


def test_arguments_are_looked_at_by_the_first_step(reader):
    wrong = [reader.readexactly(-1), reader.readuntil(b""), reader.readuntil(())]
    for coro in wrong:
        with pytest.raises(ValueError):
            coro.send(None)
    with pytest.raises(TypeError):
        reader.read("x").send(None)


def test_a_read_that_is_never_awaited_warns(reader):
    with pytest.warns(RuntimeWarning, match=r"StreamReader\.readline' was never awaited"):
        reader.readline()


def test_a_read_runs_once(reader):
    reader.feed_data(b"data")
    read = reader.read(1)
    drive(read)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        read.send(None)


def test_nothing_can_be_sent_into_a_fresh_read(reader):
    read = reader.read(1)
    with pytest.raises(TypeError, match="just-started"):
        read.send(1)
    read.close()


# -- waiting --------------------------------------------------------------------


def test_reads_wait_for_what_is_fed_later(asyncio, loop, reader):
    async def main():
        loop.call_soon(reader.feed_data, b"one\ntw")
        loop.call_later(0.001, reader.feed_data, b"o\nthree")
        loop.call_later(0.002, reader.feed_eof)
        return [line async for line in reader]

    assert loop.run_until_complete(main()) == [b"one\n", b"two\n", b"three"]


def test_one_reader_at_a_time(asyncio, loop, reader):
    async def main():
        first = loop.create_task(reader.readline())
        await asyncio.sleep(0)
        for second in (reader.read(1), reader.readexactly(1), reader.readuntil(b"x")):
            with pytest.raises(
                RuntimeError, match="called while another coroutine is already waiting for inc"
            ):
                await second
        reader.feed_data(b"\n")
        assert await first == b"\n"

    loop.run_until_complete(main())


def test_a_cancelled_read_leaves_the_data_and_the_place(asyncio, loop, reader):
    async def main():
        task = loop.create_task(reader.readexactly(10))
        await asyncio.sleep(0)
        reader.feed_data(b"12345")
        await asyncio.sleep(0)
        assert reader._waiter is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reader._waiter is None
        assert await reader.read(99) == b"12345"

    loop.run_until_complete(main())


def test_closing_a_waiting_read_frees_the_place(loop, reader):
    read = reader.read(1)
    fut = read.send(None)
    assert reader._waiter is fut
    read.close()
    assert reader._waiter is None
    fut.cancel()


def test_throwing_into_a_waiting_read(loop, reader):
    read = reader.read(1)
    read.send(None)
    with pytest.raises(KeyError):
        read.throw(KeyError("x"))
    assert reader._waiter is None


def test_bytes_taken_by_somebody_else_are_waited_for_again(impl, asyncio, loop, reader):
    if impl == "stock":
        pytest.skip("stock returns b'', which a program takes for the end of the stream")

    async def main():
        task = loop.create_task(reader.read(10))
        await asyncio.sleep(0)
        reader.feed_data(b"first")
        assert reader._buffer == b"first"
        stolen = reader.read(10)
        with pytest.raises(StopIteration):
            stolen.send(None)
        await asyncio.sleep(0)
        reader.feed_data(b"second")
        return await task

    assert loop.run_until_complete(main()) == b"second"


# -- ends -----------------------------------------------------------------------


def test_read_after_the_end(loop, reader):
    reader.feed_data(b"rest")
    reader.feed_eof()
    assert not reader.at_eof()
    assert drive(reader.read()) == b"rest"
    assert reader.at_eof()
    assert drive(reader.read()) == b""
    assert drive(reader.readline()) == b""
    with pytest.raises(AssertionError, match="feed_data after feed_eof"):
        reader.feed_data(b"x")


def test_incomplete(asyncio, reader):
    reader.feed_data(b"abc")
    reader.feed_eof()
    with pytest.raises(asyncio.IncompleteReadError) as info:
        reader.readexactly(5).send(None)
    assert (info.value.partial, info.value.expected) == (b"abc", 5)
    with pytest.raises(asyncio.IncompleteReadError) as info:
        reader.readuntil(b"x").send(None)
    assert (info.value.partial, info.value.expected) == (b"", None)


def test_a_failed_stream_fails_every_read(asyncio, loop, reader):
    async def main():
        waiting = loop.create_task(reader.readline())
        await asyncio.sleep(0)
        error = ZeroDivisionError("x")
        reader.set_exception(error)
        assert reader.exception() is error
        for read in (
            waiting,
            reader.read(1),
            reader.readexactly(1),
            reader.readuntil(b"x"),
            reader.readline(),
        ):
            with pytest.raises(ZeroDivisionError) as info:
                await read
            assert info.value is error

    loop.run_until_complete(main())


def test_read_all_fails_after_what_came_before(asyncio, loop, reader):
    async def main():
        task = loop.create_task(reader.read())
        await asyncio.sleep(0)
        reader.feed_data(b"something")
        reader.set_exception(ConnectionResetError())
        with pytest.raises(ConnectionResetError):
            await task

    loop.run_until_complete(main())


# -- limits ---------------------------------------------------------------------


def test_an_overlong_line_is_a_value_error_with_its_cause(asyncio, loop):
    reader = asyncio.StreamReader(limit=3, loop=loop)
    reader.feed_data(b"12345\n678\n")
    with pytest.raises(ValueError, match="Separator is found, but chunk is longer than limit") as info:
        reader.readline().send(None)
    assert isinstance(info.value.__context__, asyncio.LimitOverrunError)
    assert drive(reader.readline()) == b"678\n"


def test_an_overrun_leaves_the_data(asyncio, loop):
    reader = asyncio.StreamReader(limit=3, loop=loop)
    reader.feed_data(b"12345")
    with pytest.raises(asyncio.LimitOverrunError, match="not found, and chunk exceed") as info:
        reader.readuntil(b"--").send(None)
    assert info.value.consumed == 4
    assert reader._buffer == b"12345"


@pytest.mark.parametrize("limit", [0, -1, -(2**70), 0.0])
def test_limits_that_are_refused(asyncio, loop, limit):
    with pytest.raises(ValueError, match="Limit cannot be <= 0"):
        asyncio.StreamReader(limit=limit, loop=loop)


def test_a_limit_beyond_all_bounds(asyncio, loop):
    reader = asyncio.StreamReader(limit=2**70, loop=loop)
    reader.feed_data(b"x" * 200_000 + b"\n")
    assert len(drive(reader.readline())) == 200_001


def test_the_transport_is_paused_and_resumed(asyncio, loop, transport):
    reader = asyncio.StreamReader(limit=4, loop=loop)
    reader.set_transport(transport)
    with pytest.raises(AssertionError, match="Transport already set"):
        reader.set_transport(transport)
    reader.feed_data(b"12345678")
    assert transport.calls == []
    reader.feed_data(b"9")
    reader.feed_data(b"0")
    assert transport.calls == ["pause_reading"]
    drive(reader.read(5))
    assert transport.calls == ["pause_reading"]
    drive(reader.read(1))
    assert transport.calls == ["pause_reading", "resume_reading"]


def test_more_than_the_limit_resumes_a_paused_transport(asyncio, loop, transport):
    reader = asyncio.StreamReader(limit=2, loop=loop)
    reader.set_transport(transport)
    reader.feed_data(b"12345")
    read = reader.readexactly(10)
    read.send(None)
    assert transport.calls == ["pause_reading", "resume_reading"]
    read.close()


def test_a_transport_that_cannot_be_paused_is_forgotten(asyncio, loop, transport):
    def pause_reading():
        raise NotImplementedError

    transport.pause_reading = pause_reading
    reader = asyncio.StreamReader(limit=2, loop=loop)
    reader.set_transport(transport)
    reader.feed_data(b"12345")
    assert reader._transport is None
    assert drive(reader.read(9)) == b"12345"


# -- `_buffer` ------------------------------------------------------------------


def test_the_buffer_can_be_changed_by_hand(reader):
    reader.feed_data(b"hello world")
    buffer = reader._buffer
    del buffer[:6]
    reader.feed_data(b"!\n")
    assert buffer == b"world!\n"
    assert drive(reader.readline()) == b"world!\n"
    assert buffer == b""
    buffer.extend(b"again")
    assert reader._buffer is buffer
    assert drive(reader.read(2)) == b"ag"
    reader._buffer.clear()
    reader.feed_eof()
    assert drive(reader.read()) == b""


def test_what_is_fed(reader):
    reader.feed_data(bytearray(b"a"))
    reader.feed_data(memoryview(b"b"))
    reader.feed_data(b"")
    assert reader._buffer == b"ab"
    with pytest.raises(TypeError):
        reader.feed_data("text")


def test_separators(reader):
    reader.feed_data(b"a\r\nb\nc;")
    assert drive(reader.readuntil((b"\n", b"\r\n"))) == b"a\r\n"
    assert drive(reader.readuntil((b"\r\n", b"\n"))) == b"b\n"
    assert drive(reader.readuntil(memoryview(b";"))) == b"c;"


def test_counts_beyond_all_bounds(reader):
    reader.feed_data(b"data")
    assert drive(reader.read(2**70)) == b"data"
    with pytest.raises(ValueError, match="less than zero"):
        reader.readexactly(-(2**70)).send(None)


def test_loop_attributes(loop, reader):
    assert reader._loop is loop
    assert reader._limit == 2**16
    assert (reader._source_traceback is None) is not loop.get_debug()
    assert (reader._eof, reader._waiter, reader._transport, reader._paused) == (False, None, None, False)


def test_debug_mode_notes_where_it_was_made(asyncio, loop):
    loop.set_debug(True)
    reader = asyncio.StreamReader(loop=loop)
    assert reader._source_traceback[-1].name == "test_debug_mode_notes_where_it_was_made"
