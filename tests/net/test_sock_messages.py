"""sock_sendmsg and sock_recvmsg: messages with ancillary data, and above all descriptors, which nobody may lose.

asyncio has no such methods, so these tests are of ferrio alone.
"""

import array
import gc
import os
import socket

import pytest

DESCRIPTOR = array.array("i").itemsize


@pytest.fixture(autouse=True)
def ferrio_only(loop):
    if not hasattr(loop, "sock_recvmsg"):
        pytest.skip("asyncio has no sock_recvmsg")


@pytest.fixture
def sockets():
    """Both ends of a Unix stream, non-blocking."""
    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)
        b.setblocking(False)
        yield a, b


def rights(*descriptors):
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]


def descriptors_in(ancdata):
    found = array.array("i")
    for level, kind, data in ancdata:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        found.frombytes(data)
    return list(found)


@pytest.fixture
def no_descriptor_left(asyncio, clean_run, sockets):
    def opened():
        gc.collect()
        return sorted(os.listdir("/proc/self/fd"))

    # The loop opens its own when it first runs.
    clean_run(asyncio.sleep(0))
    before = opened()
    yield
    assert opened() == before


@pytest.mark.usefixtures("no_descriptor_left")
def test_a_descriptor_is_handed_over(clean_run, loop, sockets):
    a, b = sockets
    reading, writing = os.pipe()

    async def main():
        sent = await loop.sock_sendmsg(a, [b"take ", b"this"], rights(writing))
        assert sent == 9
        os.close(writing)
        data, ancdata, flags, _ = await loop.sock_recvmsg(b, 100, socket.CMSG_SPACE(DESCRIPTOR))
        assert data == b"take this"
        assert not flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC)
        (received,) = descriptors_in(ancdata)
        assert not os.get_inheritable(received)
        os.write(received, b"through it")
        os.close(received)

    clean_run(main())
    assert os.read(reading, 100) == b"through it"
    # The last writing end is closed.
    assert os.read(reading, 100) == b""
    os.close(reading)


@pytest.mark.usefixtures("no_descriptor_left")
def test_waits_for_the_message(asyncio, clean_run, loop, sockets):
    a, b = sockets

    async def main():
        receiving = asyncio.ensure_future(loop.sock_recvmsg(b, 100, socket.CMSG_SPACE(DESCRIPTOR)))
        await asyncio.sleep(0)
        assert not receiving.done()
        with open(os.devnull, "rb") as f:
            await loop.sock_sendmsg(a, (part for part in [b"x"]), iter(rights(f.fileno())))
        data, ancdata, _, _ = await asyncio.wait_for(receiving, 20)
        (received,) = descriptors_in(ancdata)
        os.close(received)
        assert data == b"x"

    clean_run(main())


@pytest.mark.usefixtures("no_descriptor_left")
def test_waits_for_room_and_sends_what_is_iterated_once(asyncio, clean_run, loop, sockets):
    a, b = sockets
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    filled = 0
    try:
        while True:
            filled += a.send(bytes(65536))
    except BlockingIOError:
        pass

    async def main():
        with open(os.devnull, "rb") as f:
            message = loop.sock_sendmsg(a, (part for part in [b"abc", b"def"]), iter(rights(f.fileno())))
            sending = asyncio.ensure_future(message)
            await asyncio.sleep(0)
            assert not sending.done()
            left = filled
            while left:
                left -= len(await loop.sock_recv(b, left))
            assert await asyncio.wait_for(sending, 20) == 6
        data, ancdata, _, _ = await loop.sock_recvmsg(b, 100, socket.CMSG_SPACE(DESCRIPTOR))
        (received,) = descriptors_in(ancdata)
        os.close(received)
        assert data == b"abcdef"

    clean_run(main())


@pytest.mark.usefixtures("no_descriptor_left")
@pytest.mark.parametrize("when", ["before the message", "after the message"])
def test_a_cancelled_receive_leaves_the_message(asyncio, clean_run, loop, sockets, when):
    """Also if the socket was ready already, and the task was about to run, when the cancellation came."""
    a, b = sockets

    async def main():
        receiving = asyncio.ensure_future(loop.sock_recvmsg(b, 100, socket.CMSG_SPACE(DESCRIPTOR)))
        await asyncio.sleep(0)
        with open(os.devnull, "rb") as f:
            if when == "before the message":
                receiving.cancel()
            a.sendmsg([b"x"], rights(f.fileno()))
        ready = loop.create_future()

        def cancel():
            loop.remove_reader(twin.fileno())
            receiving.cancel()
            ready.set_result(None)

        with b.dup() as twin:
            # Told of the same readiness in the same turn of the loop.
            loop.add_reader(twin.fileno(), cancel)
            await ready
        try:
            data, ancdata, _, _ = await receiving
        except asyncio.CancelledError:
            data, ancdata, _, _ = await asyncio.wait_for(
                loop.sock_recvmsg(b, 100, socket.CMSG_SPACE(DESCRIPTOR)), 20
            )
        else:
            assert when == "after the message"
        (received,) = descriptors_in(ancdata)
        os.close(received)
        assert data == b"x"

    clean_run(main())


@pytest.mark.usefixtures("no_descriptor_left")
def test_many_cancelled_receives_leak_nothing(asyncio, clean_run, loop, sockets):
    a, b = sockets

    async def receive(seen):
        data, ancdata, _, _ = await loop.sock_recvmsg(b, 1, socket.CMSG_SPACE(DESCRIPTOR))
        for descriptor in descriptors_in(ancdata):
            os.close(descriptor)
        seen.append(data)

    async def main():
        seen = []
        with open(os.devnull, "rb") as f:
            for i in range(200):
                receiving = asyncio.ensure_future(receive(seen))
                for _ in range(i % 4):
                    await asyncio.sleep(0)
                await loop.sock_sendmsg(a, [b"x"], rights(f.fileno()))
                for _ in range(i % 3):
                    await asyncio.sleep(0)
                receiving.cancel()
                await asyncio.wait([receiving])
        a.shutdown(socket.SHUT_WR)
        while not seen or seen[-1]:
            await receive(seen)
        assert seen == [b"x"] * 200 + [b""]

    clean_run(main())


@pytest.mark.usefixtures("no_descriptor_left")
def test_descriptors_for_which_there_is_no_room_are_closed(clean_run, loop, sockets):
    a, b = sockets

    async def main():
        with open(os.devnull, "rb") as f:
            await loop.sock_sendmsg(a, [b"x"], rights(f.fileno(), f.fileno(), f.fileno()))
        _, ancdata, flags, _ = await loop.sock_recvmsg(b, 100, socket.CMSG_LEN(DESCRIPTOR))
        assert flags & socket.MSG_CTRUNC
        for descriptor in descriptors_in(ancdata):
            os.close(descriptor)

    clean_run(main())


def test_into_buffers(clean_run, loop, sockets):
    a, b = sockets

    async def main():
        with open(os.devnull, "rb") as f:
            await loop.sock_sendmsg(a, [b"abcdefgh"], rights(f.fileno()))
        first, second = bytearray(3), bytearray(3)
        count, ancdata, _, _ = await loop.sock_recvmsg_into(
            b, (buffer for buffer in (first, second)), socket.CMSG_SPACE(DESCRIPTOR)
        )
        assert (count, first, second) == (6, b"abc", b"def")
        (received,) = descriptors_in(ancdata)
        os.close(received)
        assert await loop.sock_recv(b, 10) == b"gh"

    clean_run(main())


def test_flags_and_addresses_of_datagrams(clean_run, loop):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b,
    ):
        for sock in a, b:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))

        async def main():
            assert await loop.sock_sendmsg(a, [b"hello"], address=b.getsockname()) == 5
            data, _, flags, sender = await loop.sock_recvmsg(b, 3, flags=socket.MSG_PEEK)
            assert (data, sender) == (b"hel", a.getsockname())
            assert flags & socket.MSG_TRUNC
            assert (await loop.sock_recvmsg(b, 100))[0] == b"hello"

        clean_run(main())


def test_errors_are_the_sockets(clean_run, loop, sockets):
    a, b = sockets

    async def main():
        with pytest.raises(TypeError):
            await loop.sock_sendmsg(a, ["text"])
        with pytest.raises(TypeError):
            await loop.sock_sendmsg(a, 5)
        with pytest.raises(ValueError):
            await loop.sock_recvmsg(b, -1)
        a.close()
        assert (await loop.sock_recvmsg(b, 10))[0] == b""
        with pytest.raises(BrokenPipeError):
            await loop.sock_sendmsg(b, [b"x"])
        with pytest.raises(OSError, match="Bad file descriptor"):
            await loop.sock_recvmsg(a, 10)

    clean_run(main())


def test_debug_mode_refuses_blocking_sockets(clean_run, loop, sockets):
    a, _ = sockets
    a.setblocking(True)
    loop.set_debug(True)

    async def main():
        for coro in loop.sock_sendmsg(a, [b"x"]), loop.sock_recvmsg(a, 1):
            with pytest.raises(ValueError, match="non-blocking"):
                await coro

    clean_run(main())
