"""Fixtures of the front door's tests.

What `import ferrio` and `install()` do to a process can be seen once, in a process that has done neither; so most tests
here run their programs in fresh interpreters.
"""

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def python(tmp_path):
    """Run an interpreter with these arguments in an empty directory; returns the CompletedProcess, as text."""

    # The same ferrio as here, whatever the directory and however the path to it was given.
    place = os.path.dirname(os.path.dirname(os.path.abspath(importlib.util.find_spec("ferrio").origin)))
    path = os.pathsep.join(filter(None, [place, os.environ.get("PYTHONPATH")]))

    def run(*args, stdin="", check=False, **environment):
        return subprocess.run(
            [sys.executable, *map(str, args)],
            input=stdin,
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=check,
        )

    return run


@pytest.fixture
def program(python):
    """Run a piece of source in a fresh interpreter with warnings as errors; it must succeed. Returns its output."""

    def run(source, *options):
        done = python("-W", "error", *options, "-c", textwrap.dedent(source))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
