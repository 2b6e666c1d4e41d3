"""What goes wrong before a program begins: the exceptions are those of subprocess.Popen, with errno and file."""

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

from observe import emit, outcome, scenario

PIPE = asyncio.subprocess.PIPE


async def refused(label, *args, **kwargs):
    try:
        proc = await asyncio.create_subprocess_exec(*args, **kwargs)
    except Exception as exc:
        emit(label, type(exc).__name__, exc, getattr(exc, "errno", None), getattr(exc, "filename", None))
        emit(label, getattr(exc, "strerror", None), exc.args)
    else:
        emit(label, "begun", await proc.wait())


@scenario
async def programs_that_are_not_there():
    await refused("path", "/no/such/program")
    await refused("name", "no-such-program")
    await refused("bytes", b"/no/such/program")
    await refused("pathlib", pathlib.Path("/no/such/program"))
    await refused("executable", "true", executable="/no/such/executable")
    await refused("executable by name", "true", executable="no-such-executable")
    await refused("under a file", "/etc/passwd/program")
    await refused("empty", "")
    await refused("too long", "x" * 5000)
    await refused("no PATH", "true", env={"PATH": ""})
    await refused("other PATH", "true", env={"PATH": "/no/such/directory"})
    await refused("an empty environment", "true", env={})


@scenario
async def programs_that_cannot_be_run():
    with tempfile.TemporaryDirectory() as directory:
        here = pathlib.Path(directory)
        os.chdir(directory)
        (here / "plain").write_text("#!/bin/sh\n")
        (here / "no-format").write_text("what is this\n")
        (here / "no-format").chmod(0o755)
        (here / "empty").touch(0o755)
        (here / "bad-interpreter").write_text("#!/no/such/interpreter\n")
        (here / "bad-interpreter").chmod(0o755)
        (here / "folder").mkdir()
        os.mkfifo(here / "fifo", 0o755)
        for name in ("plain", "no-format", "empty", "bad-interpreter", "folder", "fifo"):
            await refused(name, f"./{name}")
        # A candidate that cannot be run is kept in mind, and the next one runs.
        await refused("plain by name", "plain", env={"PATH": "."})
        await refused("plain, then nothing", "plain", env={"PATH": ".:/no/such/directory"})
        (here / "folder" / "plain").write_text("#!/bin/sh\nexit 7\n")
        (here / "folder" / "plain").chmod(0o755)
        await refused("plain, then one that runs", "plain", env={"PATH": ".:folder"})
        await refused("two that cannot", "folder", env={"PATH": ".:/etc:/"})
        os.chdir("/")


@scenario
async def directories():
    await refused("not there", "true", cwd="/no/such/directory")
    await refused("a file", "true", cwd="/etc/passwd")
    await refused("bytes", "true", cwd=b"/no/such/directory")
    await refused("pathlib", "true", cwd=pathlib.Path("/no/such/directory"))
    await refused("both", "/no/such/program", cwd="/no/such/directory")
    await refused("relative to it", "./etc/passwd", cwd="/")


@scenario
async def the_shell():
    loop = asyncio.get_running_loop()
    await outcome(
        "executable", loop.subprocess_shell(asyncio.SubprocessProtocol, "x", executable="/no/shell")
    )
    await outcome("null", loop.subprocess_shell(asyncio.SubprocessProtocol, "a\0b"))
    await outcome("number", loop.subprocess_shell(asyncio.SubprocessProtocol, 1))
    await outcome("path", loop.subprocess_shell(asyncio.SubprocessProtocol, pathlib.Path("/bin/true")))
    proc = await asyncio.create_subprocess_shell("echo $0 $1", stdout=PIPE, executable="/bin/sh")
    emit(await proc.communicate())
    proc = await asyncio.create_subprocess_shell(b"echo bytes", stdout=PIPE)
    emit(await proc.communicate())


@scenario
async def keywords_with_wrong_values():
    for label, kwargs in {
        "unknown": {"unknown": 1},
        "null in cwd": {"cwd": "a\0b"},
        "null in env": {"env": {"A": "b\0c"}},
        "equals in env": {"env": {"A=B": "c"}},
        "number in env": {"env": {"A": 1}},
        "env is a list": {"env": ["A=b"]},
        "cwd is a number": {"cwd": 1.5},
        "startupinfo": {"startupinfo": object()},
        "creationflags": {"creationflags": 1},
        "user": {"user": -1},
        "user is a float": {"user": 1.5},
        "user is unknown": {"user": "no-such-user"},
        "group": {"group": -1},
        "group is unknown": {"group": "no-such-group"},
        "extra_groups": {"extra_groups": [-1]},
        "extra_groups is a str": {"extra_groups": "root"},
        "umask": {"umask": "x"},
        "pipesize": {"pipesize": "x"},
        "process_group": {"process_group": "x"},
        "process_group of nobody": {"process_group": 4_000_000},
        "pass_fds": {"pass_fds": [-1]},
        "pass_fds of text": {"pass_fds": ["x"]},
        "pass_fds that is closed": {"pass_fds": [987]},
        "stdin is closed": {"stdin": 987},
        "stdin is STDOUT": {"stdin": subprocess.STDOUT},
        "stdout is STDOUT": {"stdout": subprocess.STDOUT},
        "stdin is -5": {"stdin": -5},
        "stdin is no file": {"stdin": object()},
        "stdout is text": {"stdout": "x"},
    }.items():
        await refused(label, "true", **kwargs)
    await refused("null in an argument", "true", "a\0b")
    await refused("a number for an argument", "true", 1)
    await refused("a number for the program", 1)
    await refused("none", None)


@scenario
async def preexec_fn():
    await refused("that raises", "true", preexec_fn=lambda: 1 / 0)
    await refused("that exits", "true", preexec_fn=lambda: os._exit(3))
    proc = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import os; print(os.getcwd())",
        preexec_fn=lambda: os.chdir("/etc"),
        stdout=PIPE,
    )
    emit(await proc.communicate(), await proc.wait())


@scenario
async def nothing_is_left_open():
    def count():
        return len(os.listdir("/proc/self/fd"))

    await refused("first", "/no/such/program", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    before = count()
    for _ in range(20):
        for kwargs in ({}, {"cwd": "/no/such/directory"}, {"pass_fds": [987]}):
            with contextlib.suppress(OSError):
                await asyncio.create_subprocess_exec(
                    "/no/such/program", stdin=PIPE, stdout=PIPE, stderr=PIPE, **kwargs
                )
    emit(count() - before)
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError as exc:
        emit(exc)
