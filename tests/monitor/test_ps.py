"""`ferrio ps` and `ferrio pstree` from end to end: through the program's socket, and through sys.remote_exec()."""

import json
import os
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"

HOW = ["idle", "busy", "blocked"]
REMOTE = hasattr(sys, "remote_exec")

WAITING = (PROGRAMS / "waiting.py").read_text().splitlines()


def line_of(text):
    """The number of the one line of the program that has `text`."""
    (number,) = [number for number, line in enumerate(WAITING, 1) if text in line]
    return number


def by_name(listing):
    tasks = json.loads(listing)
    return {task["name"]: task for task in tasks}


def check(tasks, how):
    """What the program `waiting.py` has."""
    assert {*tasks} >= {"inner", "outer", "limited", "quäued\n", "circle one", "circle two"}
    inner, outer, limited = tasks["inner"], tasks["outer"], tasks["limited"]
    main = next(task for task in tasks.values() if task["coroutine"] == "main")
    place = f"{PROGRAMS / 'waiting.py'}:"

    assert inner["state"] == "waiting" and inner["coroutine"] == "leaf"
    assert inner["where"] == place + str(line_of("await future"))
    assert set(inner["awaited_by"]) >= {outer["id"]}

    assert outer["awaits"] == "task inner" and outer["awaits_id"] == inner["id"]
    assert outer["where"] == place + str(line_of("await task"))

    assert [frame["name"] for frame in limited["stack"]] == ["leaf", "wait_for", "limited"]
    assert limited["where"] == inner["where"]
    assert [frame["name"] for frame in tasks["quäued\n"]["stack"]] == ["Queue.get", "queued"]
    assert tasks["quäued\n"]["awaits"] == "Queue.get"
    (sleeper,) = [task for task in tasks.values() if task["coroutine"] == "sleep"]
    assert (sleeper["awaits"], sleeper["where"]) == ("sleep", "-")

    names = [frame["name"] for frame in main["stack"]]
    if how == "idle":
        assert main["state"] == "waiting" and main["awaits"] == "gather" and names == ["main"]
    else:
        assert main["state"] == "running"
        assert names == (["spin", "main"] if how == "busy" else ["main"])
        within = "pass" if how == "busy" else "time.sleep(3600)"
        lines = {line_of(within), line_of("while True:")} if how == "busy" else {line_of(within)}
        assert main["stack"][0]["line"] in lines
    assert len({task["thread"] for task in tasks.values()}) == 1 and main["thread"] != 0


@pytest.mark.parametrize("how", HOW)
def test_through_the_socket(program, ferrio, how):
    running = program("waiting", how)
    done = ferrio("ps", "--json", "--dir", running.directory, running.pid)
    assert (done.returncode, done.stderr) == (0, "")
    check(by_name(done.stdout), how)


@pytest.mark.skipif(not REMOTE, reason="sys.remote_exec() is new in Python 3.14")
@pytest.mark.parametrize("how", ["idle", "busy"])
def test_through_a_script(program, ferrio, how):
    """An idle loop is woken for it. One that is blocked in a call is asked through its socket."""
    running = program("waiting", how, monitor=False)
    done = ferrio("ps", "--json", running.pid)
    assert (done.returncode, done.stderr) == (0, "")
    check(by_name(done.stdout), how)


@pytest.mark.skipif(not REMOTE, reason="sys.remote_exec() is new in Python 3.14")
def test_a_script_in_a_program_that_is_blocked_says_so(program, ferrio):
    running = program("waiting", "blocked", monitor=False)
    done = ferrio("ps", "--timeout", "0.5", running.pid)
    assert done.returncode == 1 and "blocked in a call" in done.stderr and done.stdout == ""


def test_the_table(program, ferrio):
    running = program("waiting", "idle")
    done = ferrio("ps", "--dir", running.directory, running.pid)
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["THREAD", "TASK", "NAME", "COROUTINE", "AWAITS", "WHERE"]
    (inner,) = [line for line in lines if " inner " in line and "leaf" in line]
    assert inner.split()[-1] == f"{PROGRAMS / 'waiting.py'}:{line_of('await future')}"
    # The line break in a task's name does not reach the terminal.
    assert any("quäued\N{REPLACEMENT CHARACTER} " in line for line in lines)


def test_the_tree(program, ferrio):
    running = program("waiting", "idle")
    done = ferrio("pstree", "--dir", running.directory, running.pid)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    full = {
        line.split("(T) ")[1].split(" 0x")[0]: at
        for at, line in enumerate(lines)
        if line[-1] != ")" and "(T)" in line
    }
    column = {name: lines[at].index("(T)") for name, at in full.items()}
    assert column["Task-1"] < column["inner"] and column["Task-1"] < column["outer"]
    # Between a task and what it awaits are the frames of the one that awaits.
    place = f"{PROGRAMS / 'waiting.py'}:{line_of('await asyncio.gather')}"
    assert lines[full["Task-1"] + 1] == f"    └── main {place}"
    first = full["limited"]
    assert [line.split("└── ")[1].split()[0] for line in lines[first + 1 : first + 4]] == [
        "limited",
        "wait_for",
        "leaf",
    ]
    # Two await it, and the two of the circle have no root.
    assert sum("inner" in line and line.endswith("  (shown already)") for line in lines) == 1
    assert sum(line.endswith("  (cycle: it is above)") for line in lines) == 1


def test_the_option_of_run(program, ferrio, tmp_path):
    running = program("waiting", "idle", monitor=False, option=True)
    done = ferrio("ps", "--json", running.pid)
    assert (done.returncode, done.stderr) == (0, "")
    check(by_name(done.stdout), "idle")


def test_nothing_listens_otherwise(program, ferrio):
    running = program("waiting", "idle", monitor=False)
    sockets = [os.readlink(f"/proc/{running.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{running.pid}/fd")]
    inodes = {link[8:-1] for link in sockets if link.startswith("socket:")}
    with open("/proc/net/unix") as table:
        listening = [line for line in table if line.split()[3] == "00010000" and line.split()[6] in inodes]
    assert listening == []
    if not REMOTE:
        done = ferrio("ps", running.pid)
        assert done.returncode == 1 and "FERRIO_MONITOR=1" in done.stderr


def test_the_socket_goes_with_the_program(program, ferrio, tmp_path):
    running = program("many", 10)
    assert running.socket.is_socket()
    running.end()
    assert not running.socket.exists()
    done = ferrio("ps", "--dir", running.directory, running.pid)
    assert done.returncode == 1 and f"there is no process {running.pid}" in done.stderr


def test_many_tasks(program, ferrio):
    """More than stock's own reader finds (65,536 in a thread), and the loop runs on."""
    running = program("many", 70_000)
    done = ferrio("ps", "--json", "--timeout", "100", "--dir", running.directory, running.pid)
    assert (done.returncode, done.stderr) == (0, "")
    tasks = json.loads(done.stdout)
    levels = [task for task in tasks if task["coroutine"] == "level"]
    assert len(levels) == 70_000
    assert {tuple(frame["name"] for frame in task["stack"]) for task in levels} == {
        ("Event.wait", "level", "level")
    }
    running.end()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "takes one process's number"),
        (["1", "2"], "takes one process's number"),
        (["x"], "not 'x'"),
        (["--timeout"], "argument expected"),
        (["--timeout", "x", "1"], "a number of seconds"),
    ],
)
@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_wrong_arguments(ferrio, command, args, says):
    done = ferrio(command, *args)
    assert done.returncode == 2 and says in done.stderr


@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_help(ferrio, command):
    done = ferrio(command, "--help")
    assert done.returncode == 0 and f"usage: ferrio {command}" in done.stdout


def test_no_such_process(ferrio):
    done = ferrio("ps", 2**22 + 1)
    assert done.returncode == 1 and "there is no process" in done.stderr
