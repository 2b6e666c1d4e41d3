"""Who may look into a program, and what a client can do to it: nothing but be answered."""

import contextlib
import os
import random
import select
import socket
import stat
import sys
import threading
import time
import traceback

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

NOBODY = 65534
QUESTION = b"tasks\n"


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(str(path))
    return client


def answer(client):
    """What the program says until it closes the connection; that may be a reset, where it has not read everything."""
    received = bytearray()
    try:
        while chunk := client.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return bytes(received)


def ask(path):
    with connect(path) as client:
        # It may be closed before it is asked: too many are served.
        with contextlib.suppress(BrokenPipeError):
            client.sendall(QUESTION)
        return answer(client)


def is_listing(data):
    return data.startswith(b"ferrio tasks 1\n\0")


def as_nobody(function):
    """Whether `function()` is true in a process of another user."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            status = 0 if function() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_the_directory_and_the_socket_are_private(program):
    running = program("waiting", "idle")
    assert stat.S_IMODE(running.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(running.socket.stat().st_mode) == 0o600


@needs_root
def test_another_user_is_refused(program):
    """At the directory, and where that is open to all, by the credentials of the connection."""
    running = program("waiting", "idle")

    def stopped_at_the_directory():
        try:
            connect(running.socket).close()
        except PermissionError:
            return True

    assert as_nobody(stopped_at_the_directory)

    os.chmod(running.directory, 0o755)
    os.chmod(running.socket, 0o666)
    for directory in (running.directory, *running.directory.parents):
        # pytest's own directories are private too.
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & 0o001:
            os.chmod(directory, mode | 0o011)

    def gets_nothing():
        with connect(running.socket) as client:
            with contextlib.suppress(BrokenPipeError):
                client.sendall(QUESTION)
            return answer(client) == b""

    assert as_nobody(gets_nothing)
    assert is_listing(ask(running.socket))


@needs_root
def test_root_may_look_into_another_users_program(program, ferrio, tmp_path):
    """The program becomes another user before its loop runs."""
    tmp_path.chmod(0o777)
    for directory in tmp_path.parents:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & 0o001:
            os.chmod(directory, mode | 0o011)
    running = program("another_user", NOBODY)
    done = ferrio("ps", "--dir", running.directory, running.pid)
    assert (done.returncode, done.stderr) == (0, "")
    assert running.directory.stat().st_uid == NOBODY


@pytest.mark.parametrize("what", ["others", "file", "link", pytest.param("owner", marks=needs_root)])
def test_a_directory_that_is_not_private_is_refused(program, tmp_path, what):
    """The program runs on without a socket, and says why."""
    directory = tmp_path / "monitor"
    if what == "file":
        directory.write_text("")
        reason = "is no directory"
    elif what == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        directory.symlink_to(tmp_path / "elsewhere")
        reason = "is no directory"
    elif what == "others":
        directory.mkdir()
        directory.chmod(0o750)
        reason = "can be entered by other users"
    else:
        directory.mkdir(mode=0o700)
        os.chown(directory, NOBODY, NOBODY)
        reason = f"belongs to user {NOBODY}, not to {os.geteuid()}"
    running = program("many", 1)
    out, err = running.process.communicate(timeout=60)
    assert running.process.returncode == 0 and out.startswith("longest")
    assert "RuntimeWarning: no monitor: " in err and reason in err
    if directory.is_dir():
        assert list(directory.iterdir()) == []


def test_a_value_that_is_none(program):
    running = program("many", 1, monitor=False, FERRIO_MONITOR="yes please")
    _, err = running.process.communicate(timeout=60)
    assert running.process.returncode == 0 and "FERRIO_MONITOR=yes please: use 1" in err


@pytest.mark.parametrize("value", ["", "0"])
def test_switched_off(program, value):
    running = program("many", 1, monitor=False, FERRIO_MONITOR=value)
    _, err = running.process.communicate(timeout=60)
    assert (running.process.returncode, err) == (0, "")


def test_a_forked_child_has_a_socket_of_its_own(program):
    running = program("forking")
    pids = dict(running.process.stdout.readline().split() for _ in range(2))
    child = running.directory / f"{pids['child']}.sock"
    assert is_listing(ask(running.socket)) and is_listing(ask(child))
    running.end()
    assert not running.socket.exists() and not child.exists()


@pytest.mark.parametrize("seed", range(3))
def test_random_requests(program, seed):
    """None of them is answered, and none keeps the program from answering."""
    running = program("waiting", "idle")
    rng = random.Random(seed)
    for _ in range(100):
        request = rng.choice(
            [
                rng.randbytes(rng.randrange(200)),
                QUESTION[: rng.randrange(len(QUESTION))],
                QUESTION[: rng.randrange(len(QUESTION))] + rng.randbytes(rng.randrange(1, 9)),
                bytes(rng.choices(b"task\n\0", k=6)),
                rng.randbytes(100_000),
            ]
        )
        if request[: len(QUESTION)] == QUESTION:
            continue
        with connect(running.socket) as client:
            try:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            if rng.random() < 0.7:
                assert answer(client) == b"", request
    # Those that were dropped without a look at the answer may still be served.
    while not is_listing(ask(running.socket)):
        time.sleep(0.01)  # until one of the places is free
    assert running.process.poll() is None


def test_clients_that_stay(program):
    """Silent ones are let go after some seconds; more than a few at once are turned away."""
    running = program("waiting", "idle")
    silent = [connect(running.socket) for _ in range(20)]
    for client in silent:
        assert answer(client) == b""
        client.close()
    assert is_listing(ask(running.socket))


def test_a_reader_that_does_not_read(program):
    """It is given up, and the program and other clients are not held up by it."""
    running = program("many", 30_000)
    with connect(running.socket) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(QUESTION)
        assert is_listing(ask(running.socket))
        # Its connection ends before its listing does.
        slow.settimeout(None)
        pollhup(slow)
        assert len(answer(slow)) < len(ask(running.socket))
    running.end()


def pollhup(client):
    poll = select.poll()
    poll.register(client, 0)
    assert poll.poll(60_000), "the connection stays open"


def test_gone_before_the_answer(program):
    running = program("many", 30_000)
    for _ in range(10):
        with connect(running.socket) as client:
            client.sendall(QUESTION)
    while not is_listing(ask(running.socket)):
        time.sleep(0.01)  # until one of the places is free
    running.end()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_socket_of_another_process_is_not_believed(ferrio, tmp_path):
    """A process that listens where that of another would."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "1.sock"))
    listener.listen()
    done = ferrio("ps", "--dir", tmp_path, 1)
    assert done.returncode == 1 and f"is {os.getpid()}, not 1" in done.stderr
    listener.close()


@pytest.mark.parametrize("reply", [b"", b"x" * 100, b"ferrio tasks 1\n\0", b"ferrio tasks 2\n\0" + bytes(64)])
def test_an_answer_that_is_none(ferrio, tmp_path, reply):
    """From a process that is no ferrio's: this one."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / f"{os.getpid()}.sock"))
    listener.listen()

    def serve():
        client, _ = listener.accept()
        with client:
            client.recv(100)
            client.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    done = ferrio("ps", "--dir", tmp_path, os.getpid())
    thread.join()
    listener.close()
    assert done.returncode == 1 and done.stderr.startswith("ferrio: ") and "Traceback" not in done.stderr
