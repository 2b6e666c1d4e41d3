"""StreamReader.readinto and StreamReader.peek, which asyncio does not have."""

import array
import contextlib
import gc
import weakref

import pytest


@pytest.fixture(autouse=True)
def ferrio_only(asyncio):
    if not hasattr(asyncio.StreamReader, "peek"):
        pytest.skip("asyncio has neither readinto nor peek")


@pytest.fixture(params=["native", "subclass"])
def reader(asyncio, loop, request):
    class Subclass(asyncio.StreamReader):
        """With methods that ferrio has to call instead of its own."""

        waits = 0

        async def _wait_for_data(self, func_name):
            self.waits += 1
            await super()._wait_for_data(func_name)

        def feed_data(self, data):
            super().feed_data(data)

    return (Subclass if request.param == "subclass" else asyncio.StreamReader)(loop=loop)


@pytest.fixture
def run(loop, asyncio):
    return lambda coro: loop.run_until_complete(asyncio.wait_for(coro, 20))


# -- readinto -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "count", "left"), [(3, 3, b"defgh"), (8, 8, b""), (20, 8, b""), (0, 0, b"abcdefgh")]
)
def test_reads_as_much_as_fits(run, reader, size, count, left):
    reader.feed_data(b"abcdefgh")
    target = bytearray(b"." * size)
    assert run(reader.readinto(target)) == count
    assert target == b"abcdefgh"[:count] + b"." * (size - count)
    assert bytes(reader._buffer) == left


def test_waits_for_a_byte_and_not_for_more(loop, run, reader):
    loop.call_soon(reader.feed_data, b"ab")
    target = bytearray(5)
    assert run(reader.readinto(target)) == 2
    assert target == b"ab\0\0\0"


def test_any_writable_buffer_of_bytes(run, reader):
    reader.feed_data(b"\1\0\2\0\3\0")
    numbers = array.array("B", bytes([0, 0, 0, 0, 9, 0]))
    assert run(reader.readinto(memoryview(numbers)[:4])) == 4
    assert numbers.tobytes() == b"\1\0\2\0\x09\0"
    for refused in b"read-only", "text", 5, None:
        with pytest.raises((TypeError, BufferError)):
            run(reader.readinto(refused))
    assert bytes(reader._buffer) == b"\3\0"


def test_nothing_is_written_before_the_first_step(reader):
    reader.feed_data(b"abc")
    target = bytearray(3)
    reader.readinto(target).close()
    assert target == bytes(3)
    assert bytes(reader._buffer) == b"abc"


def test_the_end_is_zero(run, reader):
    reader.feed_data(b"a")
    reader.feed_eof()
    target = bytearray(4)
    assert run(reader.readinto(target)) == 1
    assert run(reader.readinto(target)) == 0
    assert reader.at_eof()


def test_a_buffer_may_be_resized_while_it_waits(asyncio, run, reader):
    async def main():
        target = bytearray(2)
        reading = asyncio.ensure_future(reader.readinto(target))
        await asyncio.sleep(0)
        target.extend(bytes(3))
        reader.feed_data(b"abcdef")
        assert await reading == 5
        assert target == b"abcde"

    run(main())


@pytest.mark.parametrize("method", ["readinto", "peek"])
def test_a_cancelled_read_takes_nothing(asyncio, run, reader, method):
    async def main():
        target = bytearray(3)
        reading = asyncio.ensure_future(getattr(reader, method)(*([target] if method == "readinto" else [3])))
        await asyncio.sleep(0)
        reader.feed_data(b"abc")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert target == bytes(3)
        assert await reader.read(10) == b"abc"

    run(main())


def test_resumes_the_transport(run, asyncio, loop, transport):
    reader = asyncio.StreamReader(limit=4, loop=loop)
    reader.set_transport(transport)
    reader.feed_data(b"123456789")
    assert transport.calls == ["pause_reading"]
    run(reader.peek(4))
    assert transport.calls == ["pause_reading"]
    assert run(reader.readinto(bytearray(5))) == 5
    assert transport.calls == ["pause_reading", "resume_reading"]


# -- peek -----------------------------------------------------------------------


def test_looks_without_reading(run, reader):
    reader.feed_data(b"HEAD / HTTP/1.1\r\n")
    assert run(reader.peek(4)) == b"HEAD"
    assert run(reader.peek(6)) == b"HEAD /"
    assert run(reader.peek()) == b"HEAD / HTTP/1.1\r\n"
    assert run(reader.peek(0)) == b""
    assert run(reader.readline()) == b"HEAD / HTTP/1.1\r\n"


def test_waits_for_all_that_was_asked_for(asyncio, run, reader):
    async def main():
        reader.feed_data(b"abc")
        looking = asyncio.ensure_future(reader.peek(6))
        await asyncio.sleep(0)
        reader.feed_data(b"de")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not looking.done()
        reader.feed_data(b"fgh")
        assert await looking == b"abcdef"
        assert await reader.readexactly(8) == b"abcdefgh"

    run(main())


def test_without_a_number_waits_for_a_byte(loop, run, reader):
    loop.call_soon(reader.feed_data, b"ab")
    assert run(reader.peek()) == b"ab"
    assert bytes(reader._buffer) == b"ab"


def test_the_end_gives_what_is_left(run, reader):
    reader.feed_data(b"ab")
    reader.feed_eof()
    assert run(reader.peek(10)) == b"ab"
    assert run(reader.peek()) == b"ab"
    assert not reader.at_eof()
    assert run(reader.read()) == b"ab"
    assert run(reader.peek(10)) == b""
    assert run(reader.peek()) == b""


def test_more_than_the_limit(run, asyncio, loop, transport):
    """A transport that was paused is let go on, as for readexactly()."""
    reader = asyncio.StreamReader(limit=4, loop=loop)
    reader.set_transport(transport)

    async def main():
        reader.feed_data(b"123456789")
        looking = asyncio.ensure_future(reader.peek(12))
        await asyncio.sleep(0)
        assert transport.calls == ["pause_reading", "resume_reading"]
        reader.feed_data(b"abc")
        assert await looking == b"123456789abc"

    run(main())


# -- both -----------------------------------------------------------------------


def test_one_reader_at_a_time(asyncio, run, reader):
    async def main():
        first = asyncio.ensure_future(reader.read(1))
        await asyncio.sleep(0)
        for method, coro in ("readinto", reader.readinto(bytearray(1))), ("peek", reader.peek(1)):
            with pytest.raises(RuntimeError, match=rf"{method}\(\) called while another coroutine"):
                await coro
        reader.feed_data(b"x")
        assert await first == b"x"

    run(main())


def test_fail_with_the_stream(run, reader):
    reader.feed_data(b"x")
    reader.set_exception(ConnectionResetError("gone"))
    for coro in reader.readinto(bytearray(1)), reader.peek(1):
        with pytest.raises(ConnectionResetError, match="gone"):
            run(coro)


def test_a_waiting_read_keeps_its_buffer_and_no_longer(asyncio, loop, reader):
    class Target(bytearray):
        pass

    target = Target(3)
    seen = weakref.ref(target)
    coro = reader.readinto(target)
    coro.send(None)
    del target
    gc.collect()
    assert seen() is not None
    coro.close()
    del coro
    gc.collect()
    assert seen() is None


def test_over_a_connection(asyncio, run):
    async def serve(reader, writer):
        with contextlib.closing(writer):
            kind = await reader.peek(3)
            target = bytearray(100)
            count = await reader.readinto(target)
            writer.write(kind + b"|" + target[:count])
            await writer.drain()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET /")
        assert await reader.peek(4) == b"GET|"
        target, got = bytearray(2), b""
        while count := await reader.readinto(target):
            got += target[:count]
        assert got == b"GET|GET /"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
