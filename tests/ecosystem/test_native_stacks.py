"""Profilers and debuggers see through ferrio: the stack of a process from outside, and its threads' names.

Where tracing another process is refused, or the tool does not know this Python, it fails on stock asyncio too: that is
why a test is skipped here.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import servers
from program import PATIENCE, PROGRAMS, Program

PY_SPY = Path(sys.executable).with_name("py-spy")


@pytest.fixture
def look_at():
    """`look_at(impl, command)` is what a tool prints of a program that blocks in a callback; PID is put for `{}`."""

    def look_at(impl, command):
        with Program(impl, PROGRAMS / "blocks_in_callback.py") as program:
            program.expect("blocked")
            return subprocess.run(
                [str(word).format(program.pid) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )

    return look_at


def main_thread(dump):
    """The lines of the first thread in py-spy's dump: its heading, and its frames, the innermost first."""
    return re.search(r"^Thread .*(?:\n .*)+", dump, re.MULTILINE)[0].splitlines()


@pytest.mark.parametrize("options", [(), ("--native",)], ids=["python", "native"])
def test_py_spy(impl, look_at, options):
    if not PY_SPY.exists():
        pytest.skip("py-spy is not installed for this Python")
    command = [PY_SPY, "dump", *options, "--pid", "{}"]
    if (stock := look_at("stock", command)).returncode:
        pytest.skip(f"py-spy cannot look at stock asyncio here: {stock.stdout.strip()[-300:]}")
    dump = look_at(impl, command)
    assert dump.returncode == 0, dump.stdout
    heading, *frames = main_thread(dump.stdout)
    assert heading.endswith('"MainThread"'), dump.stdout
    names = [frame.split()[0] for frame in frames]
    blocks, module = names.index("blocks"), names.index("<module>")
    assert blocks < module
    if options:
        assert "(?)" not in dump.stdout
        # The whole way down: the C library's start of the program, as on stock.
        assert "libc" in frames[-1], dump.stdout
        if impl != "stock":
            between = " ".join(frames[blocks:module])
            assert "_ferrio" in between or ".rs:" in between, dump.stdout


def test_gdb(impl, look_at):
    if why := servers.missing("gdb"):
        pytest.skip(why.partition(" (")[0])
    command = ["gdb", "-nx", "--batch", "-p", "{}", "-ex", "backtrace"]
    stock = look_at("stock", command)
    if " main (" not in stock.stdout and "Py_BytesMain" not in stock.stdout:
        pytest.skip(f"gdb cannot look at stock asyncio here: {stock.stdout.strip()[-300:]}")
    trace = look_at(impl, command).stdout
    frames = re.findall(r"^#\d+ .*", trace, re.MULTILINE)
    assert "Py_BytesMain" in trace or " main (" in trace, trace
    if "?? ()" not in stock.stdout:
        assert "?? ()" not in trace
    if impl != "stock":
        assert any("ferrio" in frame for frame in frames), trace


def test_threads_have_names(impl):
    def names(impl):
        with Program(impl, PROGRAMS / "native_threads.py") as program:
            assert program.finish() == 0, program.text
            return json.loads(program.output[0])

    stock, ours = names("stock"), names(impl)
    assert ours["main"] == stock["main"]
    if impl != "stock":
        native = [name for name in ours["others"] if name not in stock["others"]]
        # The kernel's own workers for io_uring are called so by the kernel.
        assert native and all(re.match("ferrio-|iou-", name) for name in native), ours
