"""Listening: accepting, running out of descriptors, and the end of a server."""

import errno
import gc
import os
import resource
import socket
import sys

import pytest


async def connect(loop, server):
    """A plain socket connected to *server*."""
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, server.sockets[0].getsockname())
    return sock


@pytest.fixture
def server(loop, run, recorder):
    """(server, list of the protocols of its connections)."""
    accepted = []

    class Accepted(recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            accepted.append(self)

    server = run(loop.create_server(Accepted, "127.0.0.1", 0))
    yield server, accepted
    server.close()
    for protocol in accepted:
        protocol.transport.abort()
    run(turns(loop))


async def turns(loop, count=3):
    for _ in range(count):
        waiter = loop.create_future()
        loop.call_soon(waiter.set_result, None)
        await waiter


async def until(loop, condition):
    while not condition():
        waiter = loop.create_future()
        loop.call_later(0.001, waiter.set_result, None)
        await waiter


def test_many_connections_at_once(run, loop, server):
    server, accepted = server

    async def main():
        clients = [await connect(loop, server) for _ in range(250)]
        await until(loop, lambda: len(accepted) == 250)
        for i, client in enumerate(clients):
            client.send(str(i).encode())
        await until(loop, lambda: all(p.data for p in accepted))
        by_peer = {p.transport.get_extra_info("peername"): int(p.data) for p in accepted}
        assert [by_peer[client.getsockname()] for client in clients] == list(range(250))
        for client in clients:
            client.close()
        for protocol in accepted:
            assert await protocol.lost is None

    run(main())


def test_extra_info(run, loop, server):
    server, accepted = server

    async def main():
        with await connect(loop, server) as client:
            await until(loop, lambda: accepted)
            transport = accepted[0].transport
            assert transport.get_extra_info("peername") == client.getsockname()
            assert transport.get_extra_info("sockname") == client.getpeername()
            assert transport.get_extra_info("nothing") is None
            assert transport.get_extra_info("nothing", 1) == 1
            view = transport.get_extra_info("socket")
            assert view.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert (view.family, view.type, view.gettimeout()) == (socket.AF_INET, socket.SOCK_STREAM, 0)
            assert not hasattr(view, "recv")
            transport.close()
            await accepted[0].lost
            assert transport.get_extra_info("peername") == client.getsockname()

    run(main())


def test_out_of_descriptors(run, loop, server):
    """accept() is told off once and tried again after a while; the connection is not lost."""
    server, accepted = server
    later = []
    real = loop.call_later
    loop.call_later = lambda delay, *args: (later.append(delay), real(0.01, *args))[1]
    clients = [socket.socket() for _ in range(2)]
    for client in clients:
        client.setblocking(False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = []

    async def main():
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError as exc:
                assert exc.errno == errno.EMFILE
                break
        for client in clients:
            await loop.sock_connect(client, server.sockets[0].getsockname())
        await until(loop, lambda: 1 in later)
        for fd in fillers:
            os.close(fd)
        fillers.clear()
        await until(loop, lambda: len(accepted) == 2)

    try:
        run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
        for client in clients:
            client.close()
    assert {context["message"] for context in run.reported} == {"socket.accept() out of system resource"}
    assert all(context["exception"].errno == errno.EMFILE for context in run.reported)


def test_a_factory_that_fails_closes_the_connection(run, loop):
    def fail():
        raise ZeroDivisionError

    async def main():
        server = await loop.create_server(fail, "127.0.0.1", 0)
        with await connect(loop, server) as client:
            assert await loop.sock_recv(client, 1) == b""
        assert run.reported == []
        loop.set_debug(True)
        with await connect(loop, server) as client:
            assert await loop.sock_recv(client, 1) == b""
        server.close()

    run(main())
    assert [type(context["exception"]) for context in run.reported] == [ZeroDivisionError]
    assert run.reported[0]["message"] == "Error on transport creation for incoming connection"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a closed server was not waited for before 3.12")
def test_wait_closed_waits_for_connections(run, loop, asyncio, server):
    server, accepted = server

    async def main():
        with await connect(loop, server) as client:
            await until(loop, lambda: accepted)
            server.close()
            assert server.sockets == ()
            assert not server.is_serving()
            waiting = asyncio.ensure_future(server.wait_closed())
            await turns(loop)
            assert not waiting.done()
            client.close()
            await asyncio.wait_for(waiting, 20)
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize(("method", "rest"), [("close_clients", True), ("abort_clients", False)])
def test_close_and_abort_clients(run, loop, asyncio, server, method, rest):
    server, accepted = server

    async def main():
        with await connect(loop, server) as client:
            await until(loop, lambda: accepted)
            transport = accepted[0].transport
            transport.write(bytes(6_000_000))
            assert transport.get_write_buffer_size() > 0
            server.close()
            getattr(server, method)()
            received = 0
            while chunk := await loop.sock_recv(client, 1 << 20):
                received += len(chunk)
            assert (received == 6_000_000) is rest
            await accepted[0].lost
            await asyncio.wait_for(server.wait_closed(), 20)

    run(main())


def test_serve_forever(run, loop, asyncio):
    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, start_serving=False)
        assert not server.is_serving()
        serving = asyncio.ensure_future(server.serve_forever())
        await turns(loop)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert server.sockets == ()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    run(main())


def test_serve_forever_ends_with_a_client_that_stays(run, loop, asyncio, server):
    """Since 3.13 (gh-123720) it closes the connection, and what was written before arrives; before, it leaves it."""
    server, accepted = server
    closes = sys.version_info >= (3, 13)

    async def main():
        serving = asyncio.ensure_future(server.serve_forever())
        with await connect(loop, server) as client:
            await until(loop, lambda: accepted)
            accepted[0].transport.write(bytes(6_000_000))
            serving.cancel()
            received = 0
            while received < 6_000_000:
                chunk = await loop.sock_recv(client, 6_000_000 - received)
                assert chunk, f"the end came after {received} bytes"
                received += len(chunk)
            assert accepted[0].transport.is_closing() is closes
            if closes:
                assert await loop.sock_recv(client, 1) == b""
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, 20)
        await accepted[0].lost
        assert server.sockets == ()

    run(main())


def test_a_server_is_an_async_context_manager(run, loop, asyncio):
    async def main():
        async with await loop.create_server(asyncio.Protocol, "127.0.0.1", 0) as server:
            assert server.is_serving()
            assert server.get_loop() is loop
        assert server.sockets == ()

    run(main())


def test_several_hosts_each_once(run, loop, asyncio):
    async def main():
        async with await loop.create_server(
            asyncio.Protocol, ["127.0.0.1", "127.0.0.2", "127.0.0.1"], 0
        ) as server:
            hosts = [sock.getsockname()[0] for sock in server.sockets]
            assert hosts == ["127.0.0.1", "127.0.0.2"]

    run(main())


def test_address_in_use(run, loop, asyncio):
    async def main():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
                await loop.create_server(asyncio.Protocol, *taken.getsockname())
            assert caught.value.errno == errno.EADDRINUSE

    run(main())
    gc.collect()


def test_unix_server(run, loop, recorder, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        server = await loop.create_unix_server(recorder, path)
        _, client = await loop.create_unix_connection(recorder, path)
        client.transport.write(b"x")
        assert client.transport.get_extra_info("peername") == path
        assert client.transport.get_extra_info("sockname") == ""
        client.transport.close()
        await client.lost
        server.close()
        server.close_clients()
        await turns(loop)
        assert os.path.exists(path) is (sys.version_info < (3, 13))

    run(main())


def test_a_dropped_loop_with_servers_is_collected(asyncio, recorder):
    import weakref

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(recorder, "127.0.0.1", 0))
    server.close()
    loop.close()
    gone = weakref.ref(loop)
    del loop, server
    gc.collect()
    assert gone() is None
