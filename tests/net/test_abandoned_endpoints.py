"""Servers and connections that fail before they are made: whatever was opened for them is closed."""

import gc
import os
import socket
import sys

import pytest


@pytest.fixture
def no_descriptor_left(asyncio, clean_run):
    def opened():
        gc.collect()
        return sorted(os.listdir("/proc/self/fd"))

    # The loop opens its own when it first runs.
    clean_run(asyncio.sleep(0))
    before = opened()
    yield
    assert opened() == before


@pytest.fixture
def refusing():
    def factory():
        raise LookupError("no protocol")

    return factory


@pytest.mark.usefixtures("no_descriptor_left")
@pytest.mark.parametrize("how", ["tcp", "happy eyeballs", "unix", "udp"])
def test_a_socket_of_ours_is_closed_if_the_factory_fails(loop, clean_run, asyncio, refusing, how, tmp_path):
    """pytest makes an error of the ResourceWarning of a socket that is merely dropped."""
    path = str(tmp_path / "socket")
    listening = socket.socket(socket.AF_UNIX) if how == "unix" else socket.socket()

    async def main():
        listening.bind(path if how == "unix" else ("127.0.0.1", 0))
        listening.listen()
        address = listening.getsockname()
        with pytest.raises(LookupError):
            if how == "tcp":
                await loop.create_connection(refusing, *address)
            elif how == "happy eyeballs":
                await loop.create_connection(refusing, *address, happy_eyeballs_delay=0.1)
            elif how == "unix":
                await loop.create_unix_connection(refusing, path)
            else:
                await loop.create_datagram_endpoint(refusing, local_addr=("127.0.0.1", 0))

    with listening:
        clean_run(main())


@pytest.mark.parametrize("method", ["create_connection", "create_unix_connection", "connect_accepted_socket"])
def test_a_socket_of_the_users_if_the_factory_fails(loop, clean_run, refusing, method):
    """Since 3.14 it is closed (gh-153133); before, it is the user's again."""
    a, b = socket.socketpair()

    async def main():
        with pytest.raises(LookupError):
            await getattr(loop, method)(refusing, sock=a)

    with a, b:
        clean_run(main())
        if sys.version_info >= (3, 14):
            assert a.fileno() == -1
            assert b.recv(1) == b""
        else:
            b.send(b"x")
            assert a.recv(1) == b"x"


@pytest.mark.usefixtures("no_descriptor_left")
@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_a_server_that_nobody_gets_is_closed(loop, clean_run, asyncio, unix, tmp_path):
    """Cancelled in the one turn that it gives the loop while it listens already."""
    path = str(tmp_path / "socket")

    async def main():
        if unix:
            starting = asyncio.ensure_future(loop.create_unix_server(asyncio.Protocol, path))
        else:
            starting = asyncio.ensure_future(loop.create_server(asyncio.Protocol, "127.0.0.1", 0))
        await asyncio.sleep(0)
        assert not starting.done()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        if unix:
            # Its file is removed too since 3.13.
            with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
                await loop.create_unix_connection(asyncio.Protocol, path)

    clean_run(main())


@pytest.mark.usefixtures("no_descriptor_left")
def test_sockets_that_cannot_listen_are_closed(loop, clean_run, asyncio, monkeypatch):
    listening = []

    class Deaf(socket.socket):
        def listen(self, backlog):
            if listening:
                raise OSError("not two")
            listening.append(self.getsockname())
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Deaf)

    async def main():
        with pytest.raises(OSError, match="not two"):
            await loop.create_server(asyncio.Protocol, ["127.0.0.1", "127.0.0.2"], 0)
        monkeypatch.undo()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(asyncio.Protocol, *listening.pop())

    clean_run(main())


@pytest.mark.usefixtures("no_descriptor_left")
@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("delay", [None, 0.01], ids=["in turn", "happy eyeballs"])
def test_a_cancelled_connection_is_closed(loop, clean_run, asyncio, recorder, turns, delay):
    """At whatever point: while it resolves, connects, or waits for connection_made()."""

    async def main():
        connecting = asyncio.ensure_future(
            loop.create_connection(recorder, *listening.getsockname(), happy_eyeballs_delay=delay)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        try:
            transport, _ = await connecting
        except asyncio.CancelledError:
            pass
        else:
            transport.abort()
        # For what was scheduled when it was closed.
        for _ in range(3):
            await asyncio.sleep(0)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        clean_run(main())
