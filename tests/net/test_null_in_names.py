"""A host, a service or a path with a NUL in it: the C library and the kernel would take what stands before the NUL.

A program that has checked the whole name would be connected to another host than it checked.  asyncio refuses most of
these because a number is looked for first, and leaves the rest to whatever it calls; ferrio refuses all of them.
"""

import socket
import sys

import pytest

HOSTS = ["localhost\0.example.com", "127.0.0.1\0.example.com", b"localhost\0.example.com", "\0", "::1\0"]


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture(autouse=True)
def only_ferrio_refuses_them_all(impl):
    if impl == "stock":
        pytest.skip("stock asyncio connects to what stands before the NUL in some of these")


def refused(clean_run, coro):
    with pytest.raises(ValueError, match="null"):
        clean_run(coro)


@pytest.mark.parametrize("host", HOSTS)
def test_to_connect(loop, clean_run, asyncio, listening, host):
    port = listening.getsockname()[1]
    refused(clean_run, loop.create_connection(asyncio.Protocol, host, port))
    refused(clean_run, asyncio.open_connection(host, port))
    refused(clean_run, loop.create_connection(asyncio.Protocol, host, port, happy_eyeballs_delay=0.1))
    # A protocol that is none of TCP's and UDP's goes past the check for numbers.
    refused(clean_run, loop.create_connection(asyncio.Protocol, host, port, proto=132))
    refused(clean_run, loop.create_connection(asyncio.Protocol, "127.0.0.1", port, local_addr=(host, 0)))


# Bytes are a sequence of hosts here.
@pytest.mark.parametrize("host", [host for host in HOSTS if isinstance(host, str)])
def test_to_serve(loop, clean_run, asyncio, host):
    refused(clean_run, loop.create_server(asyncio.Protocol, host, 0))
    refused(clean_run, asyncio.start_server(print, host, 0))
    refused(clean_run, loop.create_server(asyncio.Protocol, ["127.0.0.1", host], 0))


@pytest.mark.parametrize("port", ["80\0", "http\0x", b"http\0x"])
def test_a_service(loop, clean_run, asyncio, port):
    refused(clean_run, loop.create_connection(asyncio.Protocol, "127.0.0.1", port))
    refused(clean_run, loop.create_server(asyncio.Protocol, "127.0.0.1", port))


@pytest.mark.parametrize("host", HOSTS)
def test_datagrams(loop, clean_run, asyncio, host):
    refused(clean_run, loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(host, 0)))
    refused(clean_run, loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(host, 9)))


@pytest.mark.parametrize("host", HOSTS)
def test_sock_connect(loop, clean_run, listening, host):
    with socket.socket() as sock:
        sock.setblocking(False)
        refused(clean_run, loop.sock_connect(sock, (host, listening.getsockname()[1])))


@pytest.fixture
def path(tmp_path):
    """The path of a listening Unix socket."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        yield path


def test_a_path_to_connect_to(loop, clean_run, asyncio, path):
    for name in path + "\0.other", path.encode() + b"\0.other":
        refused(clean_run, loop.create_unix_connection(asyncio.Protocol, name))
        refused(clean_run, asyncio.open_unix_connection(name))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            refused(clean_run, loop.sock_connect(sock, name))


def test_a_path_to_serve_at(loop, clean_run, asyncio, path):
    name = path + "2\0.other"
    refused(clean_run, loop.create_unix_server(asyncio.Protocol, name))
    refused(
        clean_run,
        loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=name, family=socket.AF_UNIX),
    )


def test_a_path_to_send_datagrams_to(loop, run, asyncio, tmp_path):
    path = str(tmp_path / "datagrams")

    async def main():
        transport, _ = await loop.create_datagram_endpoint(Sender, family=socket.AF_UNIX)
        transport.sendto(b"x", path + "\0.other")
        return await lost

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.setblocking(False)
        lost = loop.create_future()

        class Sender(asyncio.DatagramProtocol):
            def connection_lost(self, exc):
                lost.set_result(exc)

        assert isinstance(run(main()), ValueError)
        with pytest.raises(BlockingIOError):
            receiver.recv(10)
    # The transport's own report.
    assert [type(context["exception"]) for context in run.reported] == [ValueError]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the abstract namespace")
def test_a_name_in_the_abstract_namespace_is_no_path(loop, clean_run, asyncio, recorder):
    name = f"\0ferrio-test-{id(loop)}\0with another"

    accepted = []

    def accept():
        accepted.append(recorder())
        return accepted[-1]

    async def main():
        server = await loop.create_unix_server(accept, name)
        transport, _ = await loop.create_unix_connection(recorder, name)
        assert transport.get_extra_info("peername") == name.encode()
        while not accepted:
            await asyncio.sleep(0)
        transport.abort()
        server.close()
        await server.wait_closed()
        # Up to 3.11, wait_closed() does not wait for it.
        await asyncio.wait_for(accepted[0].lost, 10)

    clean_run(main())


@pytest.mark.parametrize("host", ["localhost\0.example.com", b"127.0.0.1\0.example.com"])
def test_getaddrinfo_is_pythons_own(loop, run, host):
    try:
        expected = socket.getaddrinfo(host, 80)
    except (ValueError, TypeError, OSError) as exc:
        with pytest.raises(type(exc)):
            run(loop.getaddrinfo(host, 80))
    else:
        assert run(loop.getaddrinfo(host, 80)) == expected
