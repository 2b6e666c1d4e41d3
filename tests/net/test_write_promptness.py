"""write() sends at once, as asyncio documents: what a program can see of that, from the peer's side.

On ferrio a connection that always writes several times before it returns to the loop may have the first writes held
back until then. Such a connection is called *used* here. Whatever a program does to look, or to end, sends first.
"""

import os
import signal
import socket
from pathlib import Path

import implementation
import pytest

PROGRAMS = Path(__file__).with_name("programs")
# More rounds than any loop needs to get used to them.
USED = 32
GATHER = "FERRIO_GATHER_WRITES"


@pytest.fixture(params=["auto", "0", "1"], autouse=True)
def gather(request, monkeypatch):
    """The setting. For every test, so that it is set before the loop is made."""
    monkeypatch.setenv(GATHER, request.param)
    return request.param


@pytest.fixture(params=["new", "used"])
def connect(request, gather, asyncio, loop, recorder, pair):
    """A coroutine function that gives (transport, peer): of a new connection, or of one with the habit."""

    class HeadAndBody(recorder):
        answering = True

        def data_received(self, data):
            if self.answering:
                self.transport.write(b"head")
                self.transport.write(b"body")
            super().data_received(data)

    async def connect():
        protocol, peer = await pair(HeadAndBody)
        if request.param == "used":
            for _ in range(USED):
                protocol.data = b""
                peer.send(b"?")
                await protocol.until(lambda protocol: protocol.data == b"?")
                assert peer.recv(100) == b"headbody"
        protocol.answering = False
        return protocol.transport, peer

    connect.used = request.param == "used"
    return connect


def arrived(peer):
    try:
        return peer.recv(100)
    except BlockingIOError:
        return b""


@pytest.fixture
def prompt(connect, gather):
    """Skips what is held back on purpose: used connections by default, all where the whole turn is asked for."""
    if gather == "1" or (gather == "auto" and connect.used):
        pytest.skip("bytes may be held until the step returns")


def test_each_write_arrives_before_write_returns(clean_run, connect, prompt):
    async def main():
        transport, peer = await connect()
        for data in (b"1", bytearray(b"2"), memoryview(b"3"), b"4"):
            transport.write(data)
            assert arrived(peer) == bytes(data)
        transport.writelines([b"5", bytearray(b"6")])
        assert arrived(peer) == b"56"
        transport.abort()

    clean_run(main())


def reads(name):
    return lambda _asyncio, transport: getattr(transport, name)()


LOOKS = {
    "get_write_buffer_size": reads("get_write_buffer_size"),
    "set_write_buffer_limits": reads("set_write_buffer_limits"),
    "get_extra_info": lambda _asyncio, transport: transport.get_extra_info("socket"),
    "repr": lambda _asyncio, transport: repr(transport),
    "write_eof": reads("write_eof"),
    "close": reads("close"),
    "abort": reads("abort"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_written_arrives_before_somebody_looks_or_ends(clean_run, asyncio, connect, look):
    async def main():
        transport, peer = await connect()
        transport.write(b"1")
        transport.write(b"2")
        LOOKS[look](asyncio, transport)
        assert arrived(peer) == b"12"
        transport.abort()

    clean_run(main())


def test_the_size_of_the_buffer_is_what_the_kernel_has_refused(clean_run, connect):
    async def main():
        transport, _ = await connect()
        transport.write(b"x" * 1000)
        assert transport.get_write_buffer_size() == 0
        transport.write(b"x" * 10_000_000)
        assert 0 < transport.get_write_buffer_size() < 10_000_000
        before = transport.get_write_buffer_size()
        transport.write(b"x" * 1000)
        assert transport.get_write_buffer_size() == before + 1000
        transport.abort()

    clean_run(main())


def test_what_is_written_arrives_before_the_next_callback(clean_run, asyncio, loop, connect):
    async def main():
        transport, peer = await connect()
        seen = loop.create_future()
        loop.call_soon(lambda: seen.set_result(arrived(peer)))
        transport.write(b"1")
        transport.write(b"2")
        assert await seen == b"12"
        transport.abort()

    if os.environ[GATHER] == "1":
        pytest.skip("the whole turn is gathered")
    clean_run(main())


def test_what_a_reader_writes_arrives_before_the_writer_is_called(clean_run, loop, connect):
    """Both callbacks of a descriptor may be called for one event."""

    async def main():
        transport, peer = await connect()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            seen = loop.create_future()

            def reader():
                loop.remove_reader(ours)
                transport.write(b"1")
                transport.write(b"2")

            def writer():
                loop.remove_writer(ours)
                seen.set_result(arrived(peer))

            theirs.send(b"?")
            loop.add_reader(ours, reader)
            loop.add_writer(ours, writer)
            assert await seen == b"12"
        transport.abort()

    if os.environ[GATHER] == "1":
        pytest.skip("the whole turn is gathered")
    clean_run(main())


def test_what_is_written_arrives_before_the_end_of_the_turn_is_over(clean_run, asyncio, connect):
    async def main():
        transport, peer = await connect()
        transport.write(b"1")
        transport.write(b"2")
        await asyncio.sleep(0)
        assert arrived(peer) == b"12"
        transport.abort()

    clean_run(main())


def test_bytes_leave_in_the_order_of_the_writes(clean_run, connect):
    """Whatever connection they are for: a peer that has heard something may ask another about it."""

    async def main():
        first, first_peer = await connect()
        second, second_peer = await connect()
        first.write(b"1")
        second.write(b"2")
        assert arrived(first_peer) == b"1"
        first.write(b"3")
        assert arrived(second_peer) == b"2"
        first.abort()
        second.abort()

    if os.environ[GATHER] == "1":
        pytest.skip("the whole turn is gathered")
    clean_run(main())


def test_what_was_written_before_an_exception_arrives(run, loop, recorder, connect):
    """An error answer, and then the error."""

    async def main():
        transport, peer = await connect()

        class Failing(recorder):
            def data_received(self, data):
                transport.write(b"50")
                transport.write(b"0")
                raise ZeroDivisionError

        protocol = Failing()
        transport.set_protocol(protocol)
        peer.send(b"?")
        assert isinstance(await protocol.lost, ZeroDivisionError)
        assert arrived(peer) == b"500"

    run(main())
    assert [type(context["exception"]) for context in run.reported] == [ZeroDivisionError]


def test_what_was_written_before_the_loop_ends_arrives(run, loop, connect):
    async def begin():
        return await connect()

    transport, peer = run(begin())

    async def main():
        transport.write(b"1")
        transport.write(b"2")
        raise SystemExit

    with pytest.raises(SystemExit):
        run(main())
    assert arrived(peer) == b"12"
    transport.write(b"3")
    assert arrived(peer) == b"3"
    transport.abort()
    run(_nothing())


async def _nothing():
    pass


def test_a_signal_handler_writes_at_once(clean_run, connect):
    """It runs in the middle of a step, or between two."""

    async def main():
        transport, peer = await connect()

        def handler(_number, _frame):
            transport.write(b"1")
            transport.get_write_buffer_size()
            seen.append(arrived(peer))

        seen = []
        before = signal.signal(signal.SIGUSR1, handler)
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert seen == [b"1"]
        transport.abort()

    clean_run(main())


@pytest.mark.parametrize(
    ("end", "expected"),
    [("exit_in_daemon_thread", b"12"), ("fork", b"1234"), ("fork_and_go_on", b"1234")],
)
def test_no_byte_is_lost_or_sent_twice_at_the_end_of_a_process(impl, gather, end, expected):
    ours, peer = socket.socketpair()
    with ours, peer:
        files = (ours.fileno(), peer.fileno())
        program = PROGRAMS / "held_writes_at_the_end.py"
        ended = implementation.run(impl, program, end, *files, seconds=60, pass_fds=files)
        assert (ended.returncode, ended.stderr) == (0, "")
        peer.setblocking(False)
        assert arrived(peer) == expected


def test_streams_send_before_drain_returns(clean_run, asyncio, gather):
    """Also a server's that always writes twice, whose peers ask again and again."""
    if gather == "1":
        pytest.skip("the whole turn is gathered")

    async def main():
        wrong = []

        async def serve(reader, writer):
            _, _, peer = clients[writer.get_extra_info("peername")]
            while await reader.readline():
                writer.write(b"head")
                writer.write(b"body")
                await writer.drain()
                # The loop has not had control since: what arrived was sent by then.
                if (data := arrived(peer)) != b"headbody":
                    wrong.append(data)
                peer.send(b"?\n")
                rounds.append(1)
                if len(rounds) == 2 * USED:
                    break
            writer.close()
            done.set()

        clients, rounds, done = {}, [], asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        with socket.socket() as peer:
            peer.bind(("127.0.0.1", 0))
            clients[peer.getsockname()] = (None, None, peer)
            peer.connect(server.sockets[0].getsockname())
            peer.setblocking(False)
            peer.send(b"?\n")
            await asyncio.wait_for(done.wait(), 20)
        server.close()
        await server.wait_closed()
        assert wrong == []

    clean_run(main())


def test_a_value_that_is_none_is_refused(impl, asyncio, monkeypatch):
    if impl == "stock":
        pytest.skip("asyncio has no such setting")
    monkeypatch.setenv(GATHER, "yes")
    with pytest.raises(ValueError, match=GATHER):
        asyncio.new_event_loop()
