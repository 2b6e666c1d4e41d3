"""The files of Unix sockets: a stale one is removed, one's own is at the end, and nothing of it blocks Python's way."""

import contextlib
import os
import socket
import stat
import sys

import pytest


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "socket")


def leave_stale(path, kind=socket.SOCK_STREAM):
    with contextlib.suppress(FileNotFoundError):
        # Before 3.13 the server before has left its own.
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)


def test_a_stale_socket_is_replaced(loop, clean_run, asyncio, path):
    async def main():
        server = await loop.create_unix_server(asyncio.Protocol, path)
        server.close()
        await server.wait_closed()

    leave_stale(path)
    clean_run(main())


def test_bytes_and_surrogates(loop, clean_run, asyncio, tmp_path):
    async def main(path):
        server = await loop.create_unix_server(asyncio.Protocol, path)
        server.close()
        await server.wait_closed()

    for name in b"plain", b"\xff\xfe":
        path = os.path.join(os.fsencode(tmp_path), name)
        for given in path, os.fsdecode(path):
            leave_stale(path)
            clean_run(main(given))


def test_another_file_is_left_alone(loop, run, asyncio, path):
    with open(path, "w"):
        pass
    with pytest.raises(OSError, match="is already in use"):
        run(loop.create_unix_server(asyncio.Protocol, path))
    assert stat.S_ISREG(os.stat(path).st_mode)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio removes the file since 3.13")
def test_the_file_of_another_server_is_left_alone(loop, clean_run, asyncio, path):
    async def main():
        server = await loop.create_unix_server(asyncio.Protocol, path)
        os.unlink(path)
        leave_stale(path + "2")
        os.rename(path + "2", path)
        server.close()
        await server.wait_closed()
        assert os.path.exists(path)

    clean_run(main())


def test_a_directory_that_cannot_be_searched(loop, run, asyncio, tmp_path, caplog):
    if os.geteuid() == 0:
        path = str(tmp_path / "file" / "socket")
        with open(tmp_path / "file", "w"):
            pass
        error = "NotADirectoryError"
    else:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0)
        path = str(closed / "socket")
        error = "PermissionError"
    with pytest.raises(OSError):
        run(loop.create_unix_server(asyncio.Protocol, path))
    assert f"Unable to check or remove stale UNIX socket {path!r}: {error}" in caplog.text


def test_pythons_functions_are_not_called(loop, clean_run, asyncio, path, monkeypatch, impl):
    """Detectors of blocking calls wrap them, and let pass only what comes from asyncio's own files."""
    if impl == "stock":
        pytest.skip("stock asyncio calls os.stat(), and detectors know it by its files' names")

    async def main():
        server = await loop.create_unix_server(asyncio.Protocol, path)
        transport, _ = await loop.create_unix_connection(asyncio.Protocol, path)
        transport.abort()
        server.close()
        await server.wait_closed()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=path + "2", family=socket.AF_UNIX
        )
        transport.close()
        await asyncio.sleep(0)

    def detected(*args, **kwargs):
        raise AssertionError("a call that may block")

    leave_stale(path)
    leave_stale(path + "2", socket.SOCK_DGRAM)
    for name in "stat", "lstat", "remove", "unlink":
        monkeypatch.setattr(os, name, detected)
    try:
        clean_run(main())
    finally:
        monkeypatch.undo()


def test_an_audit_hook_may_refuse_the_removal(asyncio, path, impl):
    """In a process of its own: a hook cannot be taken back."""
    import subprocess

    program = """
import asyncio, os, sys
if sys.argv[2] != "stock":
    __import__(sys.argv[2]).install()
    import asyncio
def hook(event, args):
    if event == "os.remove":
        raise LookupError(args[0])
sys.addaudithook(hook)
try:
    asyncio.run(asyncio.start_unix_server(print, sys.argv[1]))
except LookupError as exc:
    print(exc.args[0] == sys.argv[1], os.path.exists(sys.argv[1]))
"""
    leave_stale(path)
    done = subprocess.run(
        [sys.executable, "-c", program, path, impl], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "True True\n", done.stderr


@pytest.mark.parametrize("mode", [0o600, 0o666, 0])
@pytest.mark.parametrize("how", ["create_unix_server", "start_unix_server"])
def test_mode_is_that_of_the_file(loop, clean_run, asyncio, impl, path, how, mode):
    """Whatever the umask says; since asyncio 3.16."""
    if impl == "stock" and sys.version_info < (3, 16):
        pytest.skip("this Python's asyncio does not have it")

    async def main():
        if how == "create_unix_server":
            server = await loop.create_unix_server(asyncio.Protocol, path, mode=mode)
        else:
            server = await asyncio.start_unix_server(print, path, mode=mode)
        assert stat.S_IMODE(os.stat(path).st_mode) == mode
        server.close()
        await server.wait_closed()

    before = os.umask(0o077)
    try:
        clean_run(main())
    finally:
        os.umask(before)


def test_mode_needs_a_file(loop, run, asyncio, impl, path):
    if impl == "stock":
        pytest.skip("what asyncio 3.16 does with a mode and no file is not tested here")
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(ValueError, match="no path was specified"):
        run(loop.create_unix_server(asyncio.Protocol, sock=sock, mode=0o600))
    with pytest.raises(ValueError, match="an abstract Unix socket has no file"):
        run(loop.create_unix_server(asyncio.Protocol, f"\0{path}", mode=0o600))
    with pytest.raises(TypeError):
        run(loop.create_unix_server(asyncio.Protocol, path, mode="0600"))
    assert not os.path.exists(path)
