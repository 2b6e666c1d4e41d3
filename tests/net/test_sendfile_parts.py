"""sendfile and sock_sendfile: in the kernel, through memory, in part, interrupted, and refused."""

import contextlib
import io
import os
import socket
import sys
import tempfile

import pytest

DATA = os.urandom(3_000_000)


@pytest.fixture
def file():
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.flush()
        file.seek(0)
        yield file


async def connected(asyncio, factory=None):
    one, other = socket.socketpair()
    other.setblocking(False)
    made = await asyncio.get_running_loop().create_connection(factory or asyncio.Protocol, sock=one)
    return (*made, other)


async def received(asyncio, sock, count=None):
    """`count` bytes, or everything up to the end."""
    parts, size = [], 0
    while count is None or size < count:
        part = await asyncio.get_running_loop().sock_recv(sock, 1 << 16 if count is None else count - size)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, None), (1000, None), (0, 10), (2_999_990, 100), (5, 2_000_000), (3_000_000, None)],
)
@pytest.mark.parametrize("over", ["transport", "socket"])
def test_parts(asyncio, clean_run, file, offset, count, over):
    expected = DATA[offset:] if count is None else DATA[offset : offset + count]

    async def main():
        loop = asyncio.get_running_loop()
        if over == "transport":
            transport, _, other = await connected(asyncio)
            sending = loop.sendfile(transport, file, offset, count, fallback=False)
        else:
            transport, other = socket.socketpair()
            transport.setblocking(False)
            other.setblocking(False)
            sending = loop.sock_sendfile(transport, file, offset, count, fallback=False)
        sending = asyncio.ensure_future(sending)
        assert await received(asyncio, other, len(expected)) == expected
        assert await sending == len(expected)
        # Before 3.13 a file of which nothing was sent is left where it was.
        moved = expected or sys.version_info >= (3, 13)
        assert file.tell() == (offset + len(expected) if moved else 0)
        transport.close()
        other.close()

    clean_run(main())


@pytest.mark.parametrize("over", ["transport", "socket"])
def test_from_the_beginning_of_a_file_that_is_elsewhere(asyncio, clean_run, over):
    """Since 3.13 an offset of 0 is the beginning through memory too; before, it is where the file is."""
    memory = io.BytesIO(DATA)
    memory.seek(1000)
    expected = DATA if sys.version_info >= (3, 13) else DATA[1000:]

    async def main():
        loop = asyncio.get_running_loop()
        if over == "transport":
            transport, _, other = await connected(asyncio)
            sending = loop.sendfile(transport, memory)
        else:
            transport, other = socket.socketpair()
            transport.setblocking(False)
            other.setblocking(False)
            sending = loop.sock_sendfile(transport, memory)
        sending = asyncio.ensure_future(sending)
        assert await received(asyncio, other, len(expected)) == expected
        assert (await sending, memory.tell()) == (len(expected), len(expected))
        transport.close()
        other.close()

    clean_run(main())


def test_between_writes(asyncio, clean_run, file):
    async def main():
        transport, _, other = await connected(asyncio)
        transport.write(b"a" * 1_000_000)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sendfile(transport, file))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="unable to write; sendfile is in progress"):
            transport.write(b"x")
        assert await received(asyncio, other, 4_000_000) == b"a" * 1_000_000 + DATA
        assert await sending == len(DATA)
        transport.write(b"after")
        assert await received(asyncio, other, 5) == b"after"
        transport.close()
        other.close()

    clean_run(main())


class Receives:
    """A protocol by its methods only."""

    def __init__(self):
        self.data = b""
        self.lost = []

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data

    def eof_received(self):
        pass

    def pause_writing(self):
        pass

    def resume_writing(self):
        pass

    def connection_lost(self, exc):
        self.lost.append(exc)


def test_reading_resumes_in_the_middle_and_at_the_end(asyncio, clean_run, file):
    async def main(resume):
        transport, protocol, other = await connected(asyncio, Receives)
        loop = asyncio.get_running_loop()
        sending = asyncio.ensure_future(loop.sendfile(transport, file))
        while transport.is_reading():
            await asyncio.sleep(0)
        await loop.sock_sendall(other, b"to the protocol")
        if resume:
            # The descriptor is registered for sending already.
            transport.resume_reading()
            while not protocol.data:
                await asyncio.sleep(0)
        else:
            assert protocol.data == b""
        assert not sending.done()
        assert await received(asyncio, other, len(DATA)) == DATA
        assert await sending == len(DATA)
        while not protocol.data:
            await asyncio.sleep(0)
        assert protocol.data == b"to the protocol"
        transport.close()
        other.close()

    clean_run(main(False))
    clean_run(main(True))


def test_the_peer_goes_away_in_the_middle(asyncio, clean_run, file):
    async def main():
        transport, protocol, other = await connected(asyncio, Receives)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sendfile(transport, file))
        assert await received(asyncio, other, 1000) == DATA[:1000]
        other.close()
        with pytest.raises(ConnectionError):
            await sending
        assert 1000 <= file.tell() < len(DATA)
        transport.abort()
        await asyncio.sleep(0)
        assert len(protocol.lost) == 1

    clean_run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_transport_is_closed_in_the_middle(asyncio, clean_run, file, how):
    async def main():
        transport, _, other = await connected(asyncio)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sendfile(transport, file))
        assert await received(asyncio, other, 1000) == DATA[:1000]
        getattr(transport, how)()
        with pytest.raises(ConnectionError):
            await sending
        rest = await received(asyncio, other)
        assert 1000 + len(rest) == file.tell() < len(DATA)
        other.close()

    clean_run(main())


@pytest.mark.parametrize("over", ["transport", "socket"])
def test_cancelled_in_the_middle(asyncio, clean_run, file, over):
    async def main():
        loop = asyncio.get_running_loop()
        if over == "transport":
            transport, _, other = await connected(asyncio)
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
        else:
            transport, other = socket.socketpair()
            transport.setblocking(False)
            other.setblocking(False)
            sending = asyncio.ensure_future(loop.sock_sendfile(transport, file))
        assert await received(asyncio, other, 1000) == DATA[:1000]
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        sent = file.tell()
        assert 1000 <= sent < len(DATA)
        # The connection goes on.
        if over == "transport":
            assert transport.is_reading()
            transport.write(b"after")
        else:
            asyncio.ensure_future(loop.sock_sendall(transport, b"after"))
        assert await received(asyncio, other, sent - 1000 + 5) == DATA[1000:sent] + b"after"
        transport.close()
        other.close()

    clean_run(main())


def test_through_memory(asyncio, clean_run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, other = await connected(asyncio, Receives)
        source = io.BytesIO(DATA)
        sending = asyncio.ensure_future(loop.sendfile(transport, source, 10))
        assert await received(asyncio, other, len(DATA) - 10) == DATA[10:]
        assert await sending == len(DATA) - 10
        assert source.tell() == len(DATA)
        assert transport.get_protocol() is protocol
        assert transport.is_reading()
        sending = asyncio.ensure_future(loop.sendfile(transport, source, 5, 100))
        assert await received(asyncio, other, 100) == DATA[5:105]
        assert (await sending, source.tell()) == (100, 105)
        transport.close()
        one, far = socket.socketpair()
        one.setblocking(False)
        far.setblocking(False)
        sending = asyncio.ensure_future(loop.sock_sendfile(one, source, 7, 1_000_000))
        assert await received(asyncio, far, 1_000_000) == DATA[7:1_000_007]
        assert (await sending, source.tell()) == (1_000_000, 1_000_007)
        for sock in (other, one, far):
            sock.close()

    clean_run(main())


def test_the_peer_goes_away_while_memory_is_sent(asyncio, clean_run):
    async def main():
        transport, protocol, other = await connected(asyncio, Receives)
        source = io.BytesIO(DATA)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sendfile(transport, source))
        assert await received(asyncio, other, 1000) == DATA[:1000]
        other.close()
        with pytest.raises(ConnectionError):
            await sending
        assert len(protocol.lost) == 1
        assert 1000 <= source.tell() < len(DATA)

    clean_run(main())


def test_what_the_kernel_cannot_send(asyncio, clean_run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _, other = await connected(asyncio)
        one, far = socket.socketpair()
        one.setblocking(False)
        not_available = asyncio.SendfileNotAvailableError
        with pytest.raises(not_available, match="not a regular file"):
            await loop.sock_sendfile(one, io.BytesIO(b"x"), fallback=False)
        with pytest.raises(not_available):
            await loop.sendfile(transport, io.BytesIO(b"x"), fallback=False)
        r, w = os.pipe()
        with (
            open(r, "rb") as pipe,
            open(w, "wb"),
            pytest.raises(not_available, match=r"os\.sendfile call failed"),
        ):
            await loop.sock_sendfile(one, pipe, 0, 10, fallback=False)
        transport.close()
        for sock in (other, one, far):
            sock.close()

    clean_run(main())


def test_wrong_arguments(asyncio, clean_run, file):
    async def main():
        loop = asyncio.get_running_loop()
        one, far = socket.socketpair()
        one.setblocking(False)
        for args, error, message in [
            ((-1,), ValueError, "offset must be a non-negative integer (got -1)"),
            (("0",), TypeError, "offset must be a non-negative integer (got '0')"),
            ((0, 0), ValueError, "count must be a positive integer (got 0)"),
            ((0, -1), ValueError, "count must be a positive integer (got -1)"),
            ((0, "1"), TypeError, "count must be a positive integer (got '1')"),
        ]:
            with pytest.raises(error) as caught:
                await loop.sock_sendfile(one, file, *args)
            assert str(caught.value) == message
        with tempfile.TemporaryFile("w") as text, pytest.raises(ValueError, match="binary mode"):
            await loop.sock_sendfile(one, text)
        with socket.socket(type=socket.SOCK_DGRAM) as datagram:
            datagram.setblocking(False)
            with pytest.raises(ValueError, match="only SOCK_STREAM type sockets are supported"):
                await loop.sock_sendfile(datagram, file)
        transport, _, other = await connected(asyncio)
        transport.close()
        with pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(transport, file)
        r, w = os.pipe()
        os.close(r)
        pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, open(w, "wb", 0))  # noqa: SIM115 - the transport's
        with contextlib.suppress(RuntimeError):
            await loop.sendfile(pipe, file)
            pytest.fail("pipes cannot send files")
        pipe.close()
        for sock in (one, far, other):
            sock.close()
        await asyncio.sleep(0)

    clean_run(main())


def test_an_empty_file(asyncio, clean_run):
    async def main():
        transport, _, other = await connected(asyncio)
        with tempfile.TemporaryFile() as empty:
            assert await asyncio.get_running_loop().sendfile(transport, empty) == 0
        transport.write(b"x")
        assert await received(asyncio, other, 1) == b"x"
        transport.close()
        other.close()

    clean_run(main())
