"""Programs that are looked into, and `ferrio ps`, each in a process of its own."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
SECONDS = 120


class Program:
    """A program that runs."""

    def __init__(self, process, directory):
        self.process = process
        self.pid = process.pid
        self.directory = directory

    @property
    def socket(self):
        return self.directory / f"{self.pid}.sock"

    def wait_until_ready(self):
        line = self.process.stdout.readline()
        assert line.startswith("ready"), (line, self.process.stderr.read())
        return line.split()

    def end(self):
        """Close its standard input; returns what it has said since."""
        out, err = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == 0, err
        return out


@pytest.fixture
def program(tmp_path):
    """`program(name, *args)`: runs a program of `programs/` whose socket is in a directory of the test's own."""
    with contextlib.ExitStack() as stack:

        def run(name, *args, monitor=True, option=False, ready=True, **env):
            directory = tmp_path / "monitor"
            environment = {k: v for k, v in os.environ.items() if k != "FERRIO_MONITOR"} | env
            if monitor:
                environment["FERRIO_MONITOR"] = str(directory)
            command = [sys.executable, "-m", "ferrio", "run", *(["--monitor"] if option else [])]
            process = subprocess.Popen(
                [*command, str(PROGRAMS / f"{name}.py"), *map(str, args)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            made = Program(process, directory)
            if ready:
                made.wait_until_ready()
            return made

        yield run


@pytest.fixture
def ferrio():
    """`ferrio(*args)`: the command line tool; a completed process."""

    def run(*args, **options):
        return subprocess.run(
            [sys.executable, "-m", "ferrio", *map(str, args)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            **options,
        )

    return run
