"""Unmodified programs in processes of their own, under ferrio or under the interpreter's own asyncio.

A test starts a `Program`, waits for lines that it prints (never for a length of time), talks to it over its sockets
and ends it as its users would, with a signal or the end of its input. The tests themselves use blocking sockets and
threads: nothing of the asyncio under test runs on this side. Time-outs bound a hang and say what the program had
printed by then.
"""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = Path(__file__).parent / "programs"

PATIENCE = 60
"""Seconds for anything that a working program does at once."""


def command(impl, *arguments):
    """The command line that runs `python ARGUMENTS` with *impl* (a package, or stock) as its asyncio."""
    if impl == "stock":
        return [sys.executable, *map(str, arguments)]
    return [sys.executable, "-m", impl, "run", *map(str, arguments)]


def on_path(directory):
    """A PYTHONPATH with *directory* on it, and whatever is on it now."""
    return os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))


class Program:
    """A running program: what it prints (both streams, line by line), and its end.

    As a context manager it is killed on the way out if it still runs, with the processes that it has started, so that a
    failing test leaves nothing behind.
    """

    def __init__(self, impl, *arguments, env=None):
        self.output = []
        self._lines = queue.SimpleQueue()
        self._process = subprocess.Popen(
            command(impl, *arguments),
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Its workers may be left when it is gone: as long as one of them holds its output, they are a group.
        if self._process.poll() is None or self._reader.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()

    @property
    def pid(self):
        return self._process.pid

    @property
    def text(self):
        """All that it has printed and that was waited for, as one string."""
        return "\n".join(self.output)

    def expect(self, pattern):
        """Wait for the next line in which *pattern* (a regular expression) is found; returns the match."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} in {PATIENCE} s, but:\n{self.text}") from None
            if line is None:
                raise AssertionError(f"ended before {pattern!r}, after:\n{self.text}")
            self.output.append(line)
            if match := re.search(pattern, line):
                return match

    def type(self, line):
        """Write a line to its standard input."""
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end_input(self):
        """Close its standard input."""
        self._process.stdin.close()

    def send_signal(self, number):
        self._process.send_signal(number)

    def finish(self):
        """Wait for its end; returns the exit status (negative: the signal that killed it)."""
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            while not self._lines.empty():
                self.output.append(str(self._lines.get()))
            raise AssertionError(f"did not end in {PATIENCE} s, after:\n{self.text}") from None
        self._reader.join(PATIENCE)
        if self._reader.is_alive():
            raise AssertionError(f"ended, but left processes behind, after:\n{self.text}")
        while (line := self._lines.get()) is not None:
            self.output.append(line)
        return status

    def stop(self, number=signal.SIGTERM):
        """Send it a signal and wait for its end; returns the exit status."""
        self.send_signal(number)
        return self.finish()
