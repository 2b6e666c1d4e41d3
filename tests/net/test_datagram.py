"""Datagram endpoints: addresses, order, errors, back-pressure, ends, and what is left behind."""

import gc
import os
import socket
import warnings
import weakref

import pytest


@pytest.fixture
def protocol(asyncio):
    class Endpoint(asyncio.DatagramProtocol):
        """Remembers everything; `expect(n)` waits until n datagrams are there."""

        def __init__(self):
            self.received = []
            self.errors = []
            self.calls = []
            self.wanted = None
            self.closed = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.received.append((data, address))
            if self.wanted is not None and len(self.received) >= self.wanted[0] and not self.wanted[1].done():
                self.wanted[1].set_result(None)

        def error_received(self, exc):
            self.errors.append(exc)

        def pause_writing(self):
            self.calls.append("pause")

        def resume_writing(self):
            self.calls.append("resume")

        def connection_lost(self, exc):
            self.closed.set_result(exc)

        async def expect(self, count):
            if len(self.received) < count:
                self.wanted = (count, asyncio.get_running_loop().create_future())
                await asyncio.wait_for(self.wanted[1], 30)
            return [data for data, _ in self.received]

    return Endpoint


async def opened(asyncio, factory, **kwargs):
    return await asyncio.get_running_loop().create_datagram_endpoint(factory, **kwargs)


async def closed(*protocols):
    for protocol in protocols:
        protocol.transport.close()
        assert await protocol.closed is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_many_datagrams_keep_their_order(asyncio, clean_run, protocol, host):
    async def main():
        server, there = await opened(asyncio, protocol, local_addr=(host, 0))
        client, here = await opened(asyncio, protocol, remote_addr=server.get_extra_info("sockname")[:2])
        sent = [b"%d" % i * (i % 7 + 1) for i in range(100)]
        for data in sent:
            client.sendto(data)
        assert await there.expect(100) == sent
        assert {address for _, address in there.received} == {client.get_extra_info("sockname")}
        assert client.get_extra_info("peername") == server.get_extra_info("sockname")
        await closed(there, here)

    clean_run(main())


def test_answers_out_of_a_batch_arrive_in_order(asyncio, clean_run, protocol):
    class Echo(protocol):
        def datagram_received(self, data, address):
            super().datagram_received(data, address)
            self.transport.sendto(data, address)
            # What is held back until the batch is delivered does not count as buffered.
            assert self.transport.get_write_buffer_size() == 0

    async def main():
        server, there = await opened(asyncio, Echo, local_addr=("127.0.0.1", 0))
        _, here = await opened(asyncio, protocol, remote_addr=server.get_extra_info("sockname"))
        for i in range(60):
            here.transport.sendto(b"%d" % i)
        assert await here.expect(60) == [b"%d" % i for i in range(60)]
        await closed(there, here)

    clean_run(main())


def test_closing_in_a_batch_sends_what_was_answered(asyncio, clean_run, protocol):
    class Once(protocol):
        def datagram_received(self, data, address):
            super().datagram_received(data, address)
            self.transport.sendto(b"bye", address)
            getattr(self.transport, self.how)()

    async def main(how):
        Once.how = how
        server, there = await opened(asyncio, Once, local_addr=("127.0.0.1", 0))
        client, here = await opened(asyncio, protocol, remote_addr=server.get_extra_info("sockname"))
        client.sendto(b"one")
        client.sendto(b"two")
        assert await here.expect(1) == [b"bye"]
        assert await there.closed is None
        assert [data for data, _ in there.received] == [b"one"]
        await closed(here)

    clean_run(main("close"))
    clean_run(main("abort"))


def test_unix_endpoints(asyncio, clean_run, protocol, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        server, there = await opened(asyncio, protocol, local_addr=path, family=socket.AF_UNIX)
        client, here = await opened(asyncio, protocol, remote_addr=path, family=socket.AF_UNIX)
        big = os.urandom(100_000)
        client.sendto(b"small")
        client.sendto(big)
        assert await there.expect(2) == [b"small", big]
        assert [address for _, address in there.received] == [None, None]
        assert (server.get_extra_info("sockname"), client.get_extra_info("peername")) == (path, path)
        await closed(there, here)
        # The file that is left behind is replaced.
        _, again = await opened(asyncio, protocol, local_addr=path, family=socket.AF_UNIX)
        await closed(again)

    clean_run(main())


def test_abstract_and_nameless_unix_addresses(asyncio, clean_run, protocol):
    async def main():
        name = f"\0ferrio-test-{os.getpid()}"
        server, there = await opened(asyncio, protocol, local_addr=name, family=socket.AF_UNIX)
        assert server.get_extra_info("sockname") == name.encode()
        _, here = await opened(asyncio, protocol, family=socket.AF_UNIX)
        here.transport.sendto(b"x", name)
        here.transport.sendto(b"y", name.encode())
        assert await there.expect(2) == [b"x", b"y"]
        await closed(there, here)
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        _, here = await opened(asyncio, protocol, sock=one)
        _, there = await opened(asyncio, protocol, sock=other)
        other.send(b"to here")
        assert await here.expect(1) == [b"to here"]
        await closed(here, there)

    clean_run(main())


def test_names_and_wrong_addresses_are_python_s_to_judge(asyncio, clean_run, protocol):
    async def main():
        server, there = await opened(asyncio, protocol, local_addr=("127.0.0.1", 0))
        port = server.get_extra_info("sockname")[1]
        _, here = await opened(asyncio, protocol, local_addr=("127.0.0.1", 0))
        here.transport.sendto(b"by name", ("localhost", port))
        assert await there.expect(1) == [b"by name"]
        here.transport.sendto(b"x" * 70_000, ("127.0.0.1", port))
        assert [type(exc) for exc in here.errors] == [OSError]
        for wrong in (("127.0.0.1", 70_000), ("127.0.0.1",), 5, None):
            _, victim = await opened(asyncio, protocol, local_addr=("127.0.0.1", 0))
            victim.transport.sendto(b"x", wrong)
            exc = await victim.closed
            context = clean_run.reported.pop()
            assert context["message"] == "Fatal write error on datagram transport"
            assert context["exception"] is exc
            assert isinstance(exc, (OverflowError, TypeError))
        await closed(there, here)

    clean_run(main())


def test_the_address_of_an_unconnected_endpoint_is_fixed(asyncio, clean_run, protocol):
    async def main():
        server, there = await opened(asyncio, protocol, local_addr=("127.0.0.1", 0))
        address = server.get_extra_info("sockname")
        client, here = await opened(asyncio, protocol, remote_addr=address, allow_broadcast=True)
        assert client.get_extra_info("peername") is None
        client.sendto(b"one")
        client.sendto(b"two", address)
        with pytest.raises(ValueError, match="Invalid address: must be None or"):
            client.sendto(b"three", ("127.0.0.1", 1))
        assert await there.expect(2) == [b"one", b"two"]
        await closed(there, here)

    clean_run(main())


def test_nobody_listens(asyncio, clean_run, protocol):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            address = probe.getsockname()
        client, here = await opened(asyncio, protocol, remote_addr=address)
        told = asyncio.get_running_loop().create_future()
        here.error_received = told.set_result
        client.sendto(b"x")
        assert isinstance(await told, ConnectionRefusedError)
        assert not client.is_closing()
        await closed(here)

    clean_run(main())


def full(asyncio, protocol):
    """An endpoint over a Unix socket whose peer reads nothing: the kernel takes little."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return one, other


def test_back_pressure(asyncio, clean_run, protocol):
    async def main():
        one, other = full(asyncio, protocol)
        transport, here = await opened(asyncio, protocol, sock=one)
        transport.set_write_buffer_limits(high=2000, low=1000)
        sent = []
        while not here.calls:
            sent.append(b"%05d" % len(sent) * 20)
            transport.sendto(sent[-1])
        assert here.calls == ["pause"]
        assert transport.get_write_buffer_size() > 2000
        assert "write=<polling, bufsize=" in repr(transport)
        for data in sent:
            assert await asyncio.get_running_loop().sock_recv(nonblocking(other), 1000) == data
        assert here.calls == ["pause", "resume"]
        assert transport.get_write_buffer_size() == 0
        await closed(here)
        other.close()

    clean_run(main())


def nonblocking(sock):
    sock.setblocking(False)
    return sock


def test_close_sends_what_is_queued_and_abort_drops_it(asyncio, clean_run, protocol):
    async def main(how):
        one, other = full(asyncio, protocol)
        transport, here = await opened(asyncio, protocol, sock=one)
        sent = 0
        while transport.get_write_buffer_size() == 0:
            transport.sendto(b"x" * 100)
            sent += 1
        transport.sendto(b"the last")
        getattr(transport, how)()
        assert transport.is_closing()
        assert not here.closed.done()
        loop, got = asyncio.get_running_loop(), []
        if how == "close":
            while len(got) < sent + 1:
                got.append(await loop.sock_recv(nonblocking(other), 1000))
            assert got[-1] == b"the last"
        assert await here.closed is None
        assert transport.get_write_buffer_size() == 0
        assert one.fileno() == -1
        other.close()

    clean_run(main("close"))
    clean_run(main("abort"))


def test_an_error_in_the_queue_concerns_one_datagram(asyncio, clean_run, protocol):
    async def main():
        one, other = full(asyncio, protocol)
        transport, here = await opened(asyncio, protocol, sock=one)
        while transport.get_write_buffer_size() == 0:
            transport.sendto(b"x" * 100)
        transport.sendto(b"y" * 1_000_000)
        transport.sendto(b"after")
        got = []
        while b"after" not in got:
            got.append(await asyncio.get_running_loop().sock_recv(nonblocking(other), 1000))
        assert [exc.errno for exc in here.errors] == [90]  # EMSGSIZE
        await closed(here)
        other.close()

    clean_run(main())


def test_a_failing_protocol_is_reported_and_goes_on(asyncio, clean_run, protocol):
    class Fails(protocol):
        def datagram_received(self, data, address):
            super().datagram_received(data, address)
            if data == b"bad":
                raise ValueError(data)

    async def main():
        _, here = await opened(asyncio, Fails, local_addr=("127.0.0.1", 0))
        for data in (b"bad", b"good", b"bad", b"end"):
            here.transport.sendto(data, here.transport.get_extra_info("sockname"))
        assert await here.expect(4) == [b"bad", b"good", b"bad", b"end"]
        assert [type(context["exception"]) for context in clean_run.reported] == [ValueError, ValueError]
        assert clean_run.reported[0]["message"].endswith("_SelectorDatagramTransport._read_ready()")
        clean_run.reported.clear()
        await closed(here)

    clean_run(main())


def test_an_interrupt_loses_no_datagrams(asyncio, protocol):
    class Interrupts(protocol):
        def datagram_received(self, data, address):
            super().datagram_received(data, address)
            if data == b"0":
                raise KeyboardInterrupt

    loop = asyncio.new_event_loop()

    async def begin():
        transport, here = await opened(asyncio, Interrupts, local_addr=("127.0.0.1", 0))
        return here

    here = loop.run_until_complete(begin())
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        for i in range(5):
            sender.sendto(b"%d" % i, here.transport.get_extra_info("sockname"))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert loop.run_until_complete(here.expect(5)) == [b"%d" % i for i in range(5)]
    loop.run_until_complete(closed(here))
    loop.close()


def test_sending_after_the_end(asyncio, clean_run, protocol):
    async def main():
        _, here = await opened(asyncio, protocol, local_addr=("127.0.0.1", 0))
        address = here.transport.get_extra_info("sockname")
        await closed(here)
        assert repr(here.transport).startswith("<_SelectorDatagramTransport closed fd=")
        here.transport.sendto(b"x", address)
        here.transport.close()
        here.transport.abort()
        assert here.transport.get_extra_info("sockname") == address

    clean_run(main())


def test_the_descriptor_belongs_to_the_transport(asyncio, clean_run, protocol):
    async def main():
        loop = asyncio.get_running_loop()
        transport, here = await opened(asyncio, protocol, local_addr=("127.0.0.1", 0))
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(transport.get_extra_info("socket").fileno(), print)
        await closed(here)

    clean_run(main())


def test_a_failing_factory_closes_the_socket(asyncio, clean_run):
    async def main():
        def factory():
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await opened(asyncio, factory, local_addr=("127.0.0.1", 0))

    clean_run(main())
    gc.collect()


def test_an_unclosed_endpoint_is_closed_with_a_warning(asyncio, protocol):
    loop = asyncio.new_event_loop()

    async def begin():
        return (await opened(asyncio, protocol, local_addr=("127.0.0.1", 0)))[1]

    here = loop.run_until_complete(begin())
    sock = here.transport._sock
    gone = weakref.ref(here)
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del here
        gc.collect()
    assert gone() is None
    assert [w.category for w in caught] == [ResourceWarning]
    assert str(caught[0].message).startswith("unclosed transport <_SelectorDatagramTransport")
    assert sock.fileno() == -1


def link_local():
    """A link-local address of this machine with its interface's number, or None."""
    try:
        with open("/proc/net/if_inet6") as f:
            for line in f:
                digits, index, _, scope, *_ = line.split()
                if scope == "20":
                    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), int(index, 16)
    except FileNotFoundError:
        pass
    return None


@pytest.mark.skipif(link_local() is None, reason="no interface has a link-local address")
def test_scoped_addresses_are_shown_without_their_zone(asyncio, clean_run, protocol):
    """As socket.recvfrom() shows them since 3.7: the interface is in the scope, not in the text."""
    host, scope = link_local()

    async def main():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
            peer.bind((host, 0, 0, scope))
            local = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            local.bind((host, 0, 0, scope))
            transport, endpoint = await opened(asyncio, protocol, sock=local)
            assert transport.get_extra_info("sockname") == local.getsockname()
            peer.sendto(b"x", local.getsockname())
            await endpoint.expect(1)
            assert endpoint.received == [(b"x", peer.getsockname())]
            await closed(endpoint)

    clean_run(main())
