"""`sock_recv` and `sock_sendall`: waiting for a socket that stays known to the kernel between two waits.

What may go wrong with that: the number is used again, the socket goes to a transport or to `add_reader`, two wait at
once, one gives up.
"""

import socket

import pytest

LARGE = b"x" * 4_000_000
"""More than the kernel takes at once."""


def connected():
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


@pytest.fixture
def recv_later(loop, asyncio):
    """Make a task that waits in `sock_recv`."""

    async def recv_later(sock, n=100):
        task = loop.create_task(loop.sock_recv(sock, n))
        await asyncio.sleep(0)
        return task

    return recv_later


@pytest.fixture
def meet(recv_later):
    """Have a socket waited for once, so that it is known."""

    async def meet(near, far):
        task = await recv_later(near)
        far.send(b"hello")
        assert await task == b"hello"

    return meet


def test_a_socket_is_waited_for_again_and_again(run, meet):
    async def main():
        near, far = connected()
        with near, far:
            for _ in range(5):
                await meet(near, far)

    run(main())


def test_a_number_that_is_used_again_is_another_socket(run, meet):
    async def main():
        near, far = connected()
        await meet(near, far)
        number = near.fileno()
        near.close()
        far.close()
        near, far = connected()
        assert number in (near.fileno(), far.fileno()), "the kernel gives the lowest free number"
        with near, far:
            await meet(near, far)
            await meet(far, near)

    run(main())


def test_a_number_given_to_another_object(run, meet):
    async def main():
        near, far = connected()
        await meet(near, far)
        again = socket.socket(fileno=near.detach())
        with again, far:
            await meet(again, far)

    run(main())


def test_two_objects_on_one_number_both_wait(run, recv_later):
    async def main():
        near, far = connected()
        other = socket.socket(fileno=near.fileno())
        with far:
            first = await recv_later(near, 1)
            second = await recv_later(other, 1)
            far.send(b"ab")
            assert sorted([await first, await second]) == [b"a", b"b"]
            other.close()
            near.detach()

    run(main())


def test_a_known_socket_becomes_a_transport(run, asyncio, meet):
    async def main():
        near, far = connected()
        with far:
            await meet(near, far)
            reader, writer = await asyncio.open_connection(sock=near)
            far.send(b"one\n")
            assert await reader.readline() == b"one\n"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_known_socket_gets_a_reader(run, loop, meet):
    async def main():
        near, far = connected()
        with near, far:
            await meet(near, far)
            calls = []
            enough = loop.create_future()

            def reader():
                calls.append(near)
                if len(calls) == 3:
                    enough.set_result(None)

            loop.add_reader(near, reader)
            # Nobody reads it, so that it is reported again and again.
            far.send(b"x")
            await enough
            assert loop.remove_reader(near)
            assert await loop.sock_recv(near, 10) == b"x"
            await meet(near, far)

    run(main())


def test_a_writer_beside_a_waiting_receiver(run, loop, recv_later):
    async def main():
        near, far = connected()
        with near, far:
            task = await recv_later(near)
            called = loop.create_future()
            loop.add_writer(near, lambda: called.done() or called.set_result(None))
            await called
            assert loop.remove_writer(near)
            assert not task.done()
            far.send(b"x")
            assert await task == b"x"

    run(main())


def test_remove_reader_ends_a_wait_as_with_asyncio(run, loop, asyncio, recv_later):
    async def main():
        near, far = connected()
        with near, far:
            task = await recv_later(near)
            assert loop.remove_reader(near)
            assert not loop.remove_reader(near)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_who_gives_up_takes_nothing(run, loop, asyncio, recv_later, meet, end):
    async def main():
        near, far = connected()
        with near, far:
            if end == "cancel":
                task = await recv_later(near)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                operation = loop.sock_recv(near, 100)
                operation.send(None)
                operation.close()
            far.send(b"x")
            assert await loop.sock_recv(near, 10) == b"x"
            await meet(near, far)

    run(main())


def test_sending_and_receiving_at_once(run, loop, asyncio, recv_later):
    async def main():
        near, far = connected()
        with near, far:

            async def receive():
                parts = []
                while sum(map(len, parts)) < len(LARGE):
                    parts.append(await loop.sock_recv(far, 100_000))
                return b"".join(parts)

            back = await recv_later(near)
            received, _ = await asyncio.gather(receive(), loop.sock_sendall(near, LARGE))
            assert received == LARGE
            await loop.sock_sendall(far, b"back")
            assert await back == b"back"

    run(main())


def test_a_reset_while_waiting(run, loop, recv_later):
    async def main():
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
        near.setblocking(False)
        with listener, near:
            task = await recv_later(near)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.close()
            with pytest.raises(ConnectionResetError) as caught:
                await task
            assert caught.value.errno is not None
            assert await loop.sock_recv(near, 10) == b""

    run(main())


def test_a_blocking_socket_does_not_block_the_loop(run, loop):
    async def main():
        near, far = socket.socketpair()
        with near, far:
            loop.call_later(0.01, far.send, b"x")
            assert await loop.sock_recv(near, 10) == b"x"

    run(main())


def test_a_patched_method_is_called(run, loop, monkeypatch):
    async def main():
        near, far = connected()
        with near, far:
            monkeypatch.setattr(socket.socket, "recv", lambda self, n: b"patched", raising=False)
            assert await loop.sock_recv(near, 10) == b"patched"

    run(main())


@pytest.mark.parametrize(("n", "error"), [(-1, ValueError), ("x", TypeError), (1.5, TypeError)])
def test_what_cannot_be_received(run, loop, n, error):
    async def main():
        near, far = connected()
        with near, far, pytest.raises(error):
            await loop.sock_recv(near, n)

    run(main())
