"""What subclasses and instances replace is called, as asyncio calls it."""

import pytest


def drive(coro):
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    return stop.value.value


def test_a_subclass_that_adds_is_still_a_reader(asyncio, loop):
    class Reader(asyncio.StreamReader):
        def __init__(self):
            super().__init__(loop=loop)
            self.extra = 1

        async def readword(self):
            return await self.readuntil(b" ")

    reader = Reader()
    reader.feed_data(b"two words")
    assert drive(reader.readword()) == b"two "


def test_readline_calls_readuntil(asyncio, loop):
    class Reader(asyncio.StreamReader):
        async def readuntil(self, separator=b"\n"):
            return b"replaced" + separator

    reader = Reader(loop=loop)
    assert drive(reader.readline()) == b"replaced\n"
    assert drive(reader.__anext__()) == b"replaced\n"


def test_readline_and_an_overrun_of_a_replaced_readuntil(asyncio, loop):
    class Reader(asyncio.StreamReader):
        async def readuntil(self, separator=b"\n"):
            return await super().readuntil(separator)

    reader = Reader(limit=3, loop=loop)
    reader.feed_data(b"12345\nrest")
    with pytest.raises(ValueError, match="Separator is found"):
        reader.readline().send(None)
    assert reader._buffer == b"rest"
    reader.feed_eof()
    reader._limit = 99
    assert drive(reader.readline()) == b"rest"


def test_reads_call_wait_for_data(asyncio, loop):
    waits = []

    class Reader(asyncio.StreamReader):
        async def _wait_for_data(self, func_name):
            waits.append(func_name)
            self.feed_data(b"12\n") if len(waits) < 3 else self.feed_eof()

    assert drive(Reader(loop=loop).readexactly(5)) == b"12\n12"
    waits.clear()
    assert drive(Reader(loop=loop).read(5)) == b"12\n"
    waits.clear()
    assert drive(Reader(loop=loop).read()) == b"12\n12\n"
    assert waits == ["read"] * 3


def test_wait_for_data_can_be_called_by_a_subclass(asyncio, loop):
    class Reader(asyncio.StreamReader):
        async def readsome(self):
            while not self._buffer:
                await self._wait_for_data("readsome")
            return bytes(self._buffer)

    reader = Reader(loop=loop)
    loop.call_soon(reader.feed_data, b"some")
    assert loop.run_until_complete(reader.readsome()) == b"some"


def test_an_instance_attribute_counts_too(asyncio, loop):
    fed = []
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    reader.feed_data = fed.append
    protocol.data_received(b"data")
    assert fed == [b"data"]


def test_a_subclass_gets_what_the_protocol_gets(asyncio, loop):
    told = []

    class Reader(asyncio.StreamReader):
        def feed_data(self, data):
            told.append(data)

        def feed_eof(self):
            told.append("eof")

        def set_exception(self, exc):
            told.append(exc)

    reader = Reader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    protocol.data_received(b"data")
    protocol.eof_received()
    error = OSError()
    protocol.connection_lost(error)
    assert told == [b"data", "eof", error]


def test_drain_calls_a_replaced_helper(asyncio, loop, transport):
    drained = []

    class Protocol(asyncio.StreamReaderProtocol):
        async def _drain_helper(self):
            drained.append(self)

    reader = asyncio.StreamReader(loop=loop)
    protocol = Protocol(reader, loop=loop)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    drive(writer.drain())
    assert drained == [protocol]
    writer.close()


def test_a_subclassed_protocol_calls_super(asyncio, loop, transport):
    class Protocol(asyncio.StreamReaderProtocol):
        def data_received(self, data):
            super().data_received(data.upper())

    reader = asyncio.StreamReader(loop=loop)
    protocol = Protocol(reader, loop=loop)
    protocol.connection_made(transport)
    protocol.data_received(b"data")
    assert drive(reader.read(9)) == b"DATA"


def test_a_foreign_future_is_waited_for(asyncio, loop):
    class Mine(asyncio.Future):
        pass

    reader = asyncio.StreamReader(loop=loop)
    made = []

    def create_future():
        made.append(Mine(loop=loop))
        return made[-1]

    loop.create_future = create_future
    task = loop.create_task(reader.readline())
    loop.call_soon(reader.feed_data, b"li")
    loop.call_soon(loop.call_soon, reader.feed_data, b"ne\n")
    while not task.done():
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert task.result() == b"line\n"
    assert len(made) == 2
