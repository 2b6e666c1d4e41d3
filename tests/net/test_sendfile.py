"""sendfile() and sock_sendfile(), with the system call and without."""

import io
import socket

import pytest

DATA = bytes(range(256)) * 8000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        yield file


async def drain(loop, peer):
    received = bytearray()
    while chunk := await loop.sock_recv(peer, 1 << 20):
        received += chunk
    return bytes(received)


@pytest.fixture
def unavailable(asyncio):
    async def unavailable(*args):
        raise asyncio.SendfileNotAvailableError("switched off")

    return unavailable


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("offset", "count"), [(0, None), (1000, None), (5, 1_000_001)])
def test_through_a_transport(run, loop, asyncio, pair, file, unavailable, native, offset, count):
    async def main():
        protocol, peer = await pair()
        transport = protocol.transport
        if not native:
            loop._sendfile_native = unavailable
        transport.write(b"before ")
        receiving = asyncio.ensure_future(drain(loop, peer))
        expected = DATA[offset:] if count is None else DATA[offset : offset + count]
        assert await loop.sendfile(transport, file, offset, count) == len(expected)
        assert file.tell() == offset + len(expected)
        assert transport.get_protocol() is protocol
        assert transport.is_reading()
        transport.write(b" after")
        transport.close()
        assert await receiving == b"before " + expected + b" after"
        await protocol.lost

    run(main())
    assert run.reported == []


@pytest.mark.parametrize("native", [True, False])
def test_through_a_socket(run, loop, asyncio, file, unavailable, native):
    async def main():
        if not native:
            loop._sock_sendfile_native = unavailable
        ours, peer = socket.socketpair()
        with peer:
            with ours:
                ours.setblocking(False)
                peer.setblocking(False)
                receiving = asyncio.ensure_future(drain(loop, peer))
                assert await loop.sock_sendfile(ours, file) == len(DATA)
            assert await receiving == DATA

    run(main())


@pytest.mark.parametrize("native", [True, False])
def test_the_peer_goes_away(run, loop, asyncio, pair, file, unavailable, native):
    async def main():
        protocol, peer = await pair()
        if not native:
            loop._sendfile_native = unavailable
        loop.call_later(0.01, peer.close)
        with pytest.raises(ConnectionError):
            await loop.sendfile(protocol.transport, file)
        protocol.transport.abort()
        await protocol.lost

    run(main())


def test_writing_meanwhile_is_refused(run, loop, asyncio, pair, file):
    async def main():
        protocol, peer = await pair()
        sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="sendfile is in progress"):
            protocol.transport.write(b"x")
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        protocol.transport.write(b"x")
        protocol.transport.abort()
        await protocol.lost

    run(main())


def test_what_is_no_file_goes_by_hand_or_not_at_all(run, loop, asyncio, pair):
    async def main():
        protocol, peer = await pair()
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sendfile(protocol.transport, io.BytesIO(b"abc"), fallback=False)
        assert await loop.sendfile(protocol.transport, io.BytesIO(b"abc")) == 3
        assert await loop.sock_recv(peer, 10) == b"abc"
        protocol.transport.close()
        with pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(protocol.transport, io.BytesIO(b"abc"))
        await protocol.lost

    run(main())
