"""Choosing a driver, and what it leaves behind."""

import os
import socket
import subprocess
import sys

import pytest

ferrio = pytest.importorskip("ferrio")


@pytest.fixture(params=["epoll", "io_uring"])
def driver(request, monkeypatch):
    monkeypatch.setenv("FERRIO_DRIVER", request.param)
    report = ferrio._ferrio._driver_report()
    if request.param == "io_uring" and report["io_uring"] != "available":
        pytest.skip("this system has no io_uring: " + report["io_uring"])
    return request.param


def new_loop_driver():
    loop = ferrio.new_event_loop()
    try:
        return loop.driver
    finally:
        loop.close()
        assert loop.driver is None


def test_the_one_that_is_asked_for(driver):
    assert new_loop_driver() == driver


def test_epoll_is_the_default(monkeypatch):
    monkeypatch.delenv("FERRIO_DRIVER", raising=False)
    assert new_loop_driver() == "epoll"


def test_an_unknown_one_is_refused(monkeypatch):
    monkeypatch.setenv("FERRIO_DRIVER", "kqueue")
    with pytest.raises(
        ValueError, match=r"unknown driver .*kqueue.* in FERRIO_DRIVER: use epoll or io_uring"
    ):
        ferrio.new_event_loop()


def test_a_system_without_io_uring_gets_epoll_and_hears_nothing_of_it(monkeypatch, capfd):
    monkeypatch.setenv("FERRIO_DRIVER", "io_uring")
    monkeypatch.setenv("FERRIO_IO_URING", "off")
    assert new_loop_driver() == "epoll"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "driver     epoll (the default)"),
        ({"FERRIO_DRIVER": "epoll"}, "driver     epoll (FERRIO_DRIVER asks for it)"),
        (
            {"FERRIO_DRIVER": "io_uring", "FERRIO_IO_URING": "off"},
            "driver     epoll, since there is no io_uring here (FERRIO_DRIVER asks for it)",
        ),
        ({"FERRIO_IO_URING": "off"}, "io_uring   switched off by FERRIO_IO_URING"),
        ({"FERRIO_IO_URING": "off"}, "files      pool"),
        ({"FERRIO_DRIVER": "kqueue"}, 'driver     unknown driver "kqueue" in FERRIO_DRIVER'),
    ],
)
def test_doctor_tells(settings, told):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FERRIO_")}
    doctor = subprocess.run(
        [sys.executable, "-m", "ferrio", "doctor"],
        env=inherited | settings,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    # It ends with 1 where it has found a problem.
    assert doctor.returncode == ("unknown" in told)
    assert any(line.startswith(told) for line in doctor.stdout.splitlines()), doctor.stdout


def test_a_closed_connection_ends_at_once_for_its_peer(driver):
    """Also when the loop does not turn any more: a poll that is left in flight would hold the socket open."""

    async def main():
        ours, theirs = socket.socketpair()
        reader, writer = await ferrio.open_connection(sock=ours)
        waiting = ferrio.create_task(reader.read())
        # The loop has to wait once: io_uring gets a poll with the call that waits.
        await ferrio.sleep(0.001)
        writer.close()
        await writer.wait_closed()
        await waiting
        return theirs

    loop = ferrio.new_event_loop()
    theirs = loop.run_until_complete(main())
    theirs.setblocking(False)
    assert theirs.recv(1) == b""
    theirs.close()
    loop.close()


# The other thread is pytest-timeout's; before 3.15 the interpreter drops a warning of this kind that is an error.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_loop_in_a_forked_child(driver):
    async def main():
        ours, theirs = socket.socketpair()
        reader, writer = await ferrio.open_connection(sock=ours)
        _, peer = await ferrio.open_connection(sock=theirs)
        peer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        for each in (writer, peer):
            each.close()
            await each.wait_closed()

    loop = ferrio.new_event_loop()
    loop.run_until_complete(main())
    child = os.fork()
    if child == 0:
        status = 1
        try:
            loop.close()
            ferrio.run(main())
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    loop.run_until_complete(main())
    loop.close()


def test_a_number_that_is_used_again_is_not_mixed_up(driver):
    """Sockets come and go under the same descriptor; each hears only what is meant for it."""

    async def main():
        loop = ferrio.get_running_loop()
        for round_ in range(200):
            ours, theirs = socket.socketpair()
            for sock in (ours, theirs):
                sock.setblocking(False)
            receiving = loop.create_task(loop.sock_recv(ours, 10))
            await ferrio.sleep(0)
            if round_ % 2:
                receiving.cancel()
                await ferrio.wait([receiving])
                await loop.sock_sendall(theirs, b"nobody's")
            else:
                await loop.sock_sendall(theirs, b"%d" % round_)
                assert await receiving == b"%d" % round_
            ours.close()
            theirs.close()

    ferrio.run(main())
