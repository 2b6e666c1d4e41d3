"""sendto() sends at once, as asyncio does: what a program can see of that while a batch of datagrams comes in.

ferrio receives several datagrams with one system call. An endpoint that always handled such batches quickly may have
its answers held back until the batch, or a small part of a millisecond, is over. Such an endpoint is called *used*
here. Whatever a program does to look, or to end, sends first.
"""

import socket
from pathlib import Path

import implementation
import pytest

PROGRAMS = Path(__file__).with_name("programs")
# More batches than any endpoint needs to get used to them.
USED = 32
BATCH = 4
GATHER = "FERRIO_GATHER_WRITES"


@pytest.fixture(params=["auto", "0", "1"], autouse=True)
def gather(request, monkeypatch):
    """The setting. For every test, so that it is set before the loop is made."""
    monkeypatch.setenv(GATHER, request.param)
    return request.param


@pytest.fixture
def peer():
    """A plain socket that the endpoint is asked from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.setblocking(False)
        yield peer


def arrived(peer):
    """All that has arrived at the peer by now."""
    found = []
    while True:
        try:
            found.append(peer.recv(100))
        except BlockingIOError:
            return found


@pytest.fixture(params=["new", "used"])
def ask(request, asyncio, loop, peer):
    """A coroutine function that has an endpoint asked `BATCH` questions at once, and handle them with a function of
    (transport, data, address)."""

    class Answering(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.handle(self.transport, data, address)
            if data == b"%d" % (BATCH - 1):
                self.done.set_result(None)

        def error_received(self, exc):
            self.done.set_exception(exc)

    async def batch(protocol):
        protocol.done = loop.create_future()
        for number in range(BATCH):
            peer.sendto(b"%d" % number, protocol.transport.get_extra_info("sockname"))
        await asyncio.wait_for(protocol.done, 20)

    async def ask(handle):
        transport, protocol = await loop.create_datagram_endpoint(Answering, local_addr=("127.0.0.1", 0))
        if request.param == "used":
            protocol.handle = lambda transport, data, address: transport.sendto(data, address)
            for _ in range(USED):
                await batch(protocol)
                assert len(arrived(peer)) == BATCH
        protocol.handle = handle
        await batch(protocol)
        transport.close()

    ask.used = request.param == "used"
    return ask


@pytest.fixture
def prompt(ask, gather):
    """Skips what is held back on purpose: used endpoints by default, all where that is asked for."""
    if gather == "1" or (gather == "auto" and ask.used):
        pytest.skip("answers may be held while a batch is delivered")


def test_each_answer_arrives_before_sendto_returns(clean_run, ask, peer, prompt):
    seen = []

    def handle(transport, data, address):
        transport.sendto(data, address)
        seen.append(arrived(peer))

    clean_run(ask(handle))
    assert seen == [[b"%d" % number] for number in range(BATCH)]


def test_what_comes_late_in_a_batch_may_need_the_first_answer(clean_run, ask, peer, prompt):
    """A handler that waits for what its peer makes of the answer before, as a slow one would have it wait."""
    seen = []

    def handle(transport, data, address):
        if data != b"0":
            peer.setblocking(True)
            peer.settimeout(20)
            seen.append(peer.recv(100))
        transport.sendto(data, address)

    clean_run(ask(handle))
    assert seen == [b"%d" % number for number in range(BATCH - 1)]


LOOKS = {
    "get_write_buffer_size": lambda transport: transport.get_write_buffer_size(),
    "set_write_buffer_limits": lambda transport: transport.set_write_buffer_limits(),
    "get_extra_info": lambda transport: transport.get_extra_info("socket"),
    "repr": repr,
    "close": lambda transport: transport.close(),
    "abort": lambda transport: transport.abort(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_is_sent_arrives_before_somebody_looks_or_ends(clean_run, ask, peer, look):
    seen = []

    def handle(transport, data, address):
        if transport.is_closing():
            return
        transport.sendto(data, address)
        if data == b"1":
            LOOKS[look](transport)
            seen.extend(arrived(peer))
            if transport.is_closing():
                transport.get_protocol().done.set_result(None)

    clean_run(ask(handle))
    assert seen == [b"0", b"1"]


def test_datagrams_and_bytes_leave_in_the_order_in_which_they_are_sent(
    clean_run, gather, ask, peer, pair, recorder
):
    """Whatever transport they are for: a peer that has heard something may ask another about it."""
    if gather == "1":
        pytest.skip("the whole turn is gathered")
    seen = []

    async def main():
        stream, stream_peer = await pair(recorder)

        def handle(transport, data, address):
            if data == b"0":
                transport.sendto(b"first", address)
            elif data == b"1":
                stream.transport.write(b"second")
                seen.append(arrived(peer))
            elif data == b"2":
                transport.sendto(b"third", address)
                seen.append(stream_peer.recv(100))

        await ask(handle)
        stream.transport.abort()

    clean_run(main())
    assert seen == [[b"first"], b"second"]


def test_everything_has_arrived_when_the_batch_is_delivered(clean_run, ask, peer):
    async def main():
        await ask(lambda transport, data, address: transport.sendto(data, address))
        assert arrived(peer) == [b"%d" % number for number in range(BATCH)]

    clean_run(main())


@pytest.mark.parametrize("end", ["exit_in_daemon_thread", "fork", "fork_and_go_on"])
def test_no_datagram_is_lost_or_sent_twice_at_the_end_of_a_process(impl, gather, peer, end):
    program = PROGRAMS / "held_datagrams_at_the_end.py"
    ended = implementation.run(impl, program, end, peer.fileno(), seconds=60, pass_fds=(peer.fileno(),))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert arrived(peer) == [b"0", b"1"]
