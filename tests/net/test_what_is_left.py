"""What one read leaves behind is read too.

A TCP connection may be registered with the kernel for changes only. So whatever was there when the loop looked, and
one `recv` did not take, has to be found without a further change.
"""

import socket

import pytest

SCRATCH = 256 * 1024
"""What asyncio reads at most at once."""


@pytest.fixture
def tcp_pair():
    """Two ends of a TCP connection; the first one's buffer holds all that a test sends."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * SCRATCH)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    near.setblocking(False)
    far.settimeout(10)
    yield near, far
    near.close()
    far.close()


@pytest.fixture
def receive(asyncio, loop, clean_run, recorder, tcp_pair):
    """Let `act` happen while the loop does not look, then have a protocol receive until the connection is lost."""
    near, _far = tcp_pair

    def receive(act, protocol=recorder):
        async def main():
            _, receiver = await loop.connect_accepted_socket(protocol, near)
            # The transport waits for data. What happens in here is one change to the kernel, or few.
            act()
            await asyncio.wait_for(receiver.lost, 20)
            return receiver

        return clean_run(main())

    return receive


@pytest.fixture
def buffered(asyncio, recorder):
    """Make a protocol class that receives into a buffer of its own, of so many bytes."""

    def buffered(size):
        class Buffered(asyncio.BufferedProtocol):
            def __init__(self):
                self.buffer = bytearray(size)
                self.data = b""
                self.ended = False
                self.lost = asyncio.get_running_loop().create_future()

            def get_buffer(self, sizehint):
                return self.buffer

            def buffer_updated(self, nbytes):
                self.data += self.buffer[:nbytes]

            def eof_received(self):
                self.ended = True

            def connection_lost(self, exc):
                self.lost.set_result(exc)

        return Buffered

    return buffered


@pytest.mark.parametrize("size", [1, 1000, SCRATCH - 1, SCRATCH, SCRATCH + 1, 3 * SCRATCH])
def test_an_end_behind_the_data(receive, tcp_pair, size):
    _near, far = tcp_pair

    def act():
        far.sendall(b"x" * size)
        far.shutdown(socket.SHUT_WR)

    receiver = receive(act)
    assert receiver.data == b"x" * size
    assert "eof" in receiver.calls
    assert receiver.lost.result() is None


@pytest.mark.parametrize("room", [1, 7, 100, 101])
def test_more_than_a_protocols_buffer_holds(receive, tcp_pair, buffered, room):
    _near, far = tcp_pair

    def act():
        far.sendall(bytes(range(100)))
        far.shutdown(socket.SHUT_WR)

    receiver = receive(act, buffered(room))
    assert receiver.data == bytes(range(100))
    assert receiver.ended


def test_data_behind_urgent_data(receive, tcp_pair):
    _near, far = tcp_pair

    def act():
        far.sendall(b"before")
        far.send(b"!", socket.MSG_OOB)
        far.sendall(b"after")
        far.shutdown(socket.SHUT_WR)

    assert receive(act).data == b"beforeafter"


def test_a_message_after_urgent_data_was_left_unread(asyncio, loop, clean_run, recorder, tcp_pair):
    near, far = tcp_pair

    async def main():
        transport, receiver = await loop.connect_accepted_socket(recorder, near)
        far.send(b"!", socket.MSG_OOB)
        for number in range(5):
            far.sendall(b"%d" % number)
            while len(receiver.data) <= number:
                receiver.changed.clear()
                await asyncio.wait_for(receiver.changed.wait(), 10)
        transport.abort()
        await receiver.lost
        assert receiver.data == b"01234"

    clean_run(main())


def test_data_that_waits_while_reading_is_paused(asyncio, loop, clean_run, recorder, tcp_pair, polled):
    near, far = tcp_pair

    async def main():
        transport, receiver = await loop.connect_accepted_socket(recorder, near)
        far.sendall(b"one")
        transport.pause_reading()
        await polled()
        assert receiver.data == b""
        transport.resume_reading()
        far.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(receiver.lost, 10)
        assert receiver.data == b"one"

    clean_run(main())


def test_what_a_protocol_could_not_take_when_the_loop_ended(asyncio, loop, clean_run, tcp_pair, buffered):
    near, far = tcp_pair
    taking = buffered(100)

    class Interrupting(taking):
        interrupt = True

        def get_buffer(self, sizehint):
            if self.interrupt:
                self.interrupt = False
                raise KeyboardInterrupt
            return super().get_buffer(sizehint)

    async def begin():
        return (await loop.connect_accepted_socket(Interrupting, near))[1]

    receiver = clean_run(begin())
    far.sendall(b"data")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    far.shutdown(socket.SHUT_WR)
    clean_run(asyncio.wait_for(receiver.lost, 10))
    assert receiver.data == b"data"


def test_a_protocol_that_is_put_in_place_with_data_waiting(asyncio, loop, clean_run, recorder, tcp_pair):
    near, far = tcp_pair

    async def main():
        transport, first = await loop.connect_accepted_socket(recorder, near)
        far.sendall(b"for the second")
        second = recorder()
        transport.set_protocol(second)
        far.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(second.lost, 10)
        assert (first.data, second.data) == (b"", b"for the second")

    clean_run(main())
