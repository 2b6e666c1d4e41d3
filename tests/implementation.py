"""Which asyncio a test process has: ``python implementation.py NAME SCRIPT ARGS...`` runs SCRIPT with it.

Tests that compare implementations, count memory or may hang run their programs in processes of their own; this file
is what those processes start with.  NAME is ``stock`` for the interpreter's own, or a package with an ``install()``
that takes asyncio's place, and ``install()`` has to come before anything imports asyncio.  So nothing at the top of
this file may, and no test does its work in here.
"""

import contextlib
import importlib
import os
import runpy
import shlex
import signal
import subprocess
import sys
import tempfile
from typing import NamedTuple

DEFAULT = "ferrio"
STOCK = "stock"
"""What the interpreter's own asyncio is called, everywhere in the tests."""


def chosen():
    """The implementation under test: ``FERRIO_TEST_IMPL`` from the environment, or ferrio."""
    name = os.environ.get("FERRIO_TEST_IMPL", DEFAULT)
    if name == "asyncio":
        raise ValueError("FERRIO_TEST_IMPL: the interpreter's own asyncio is called stock")
    return name


def package(name):
    """The package that the implementation *name* is."""
    return importlib.import_module("asyncio" if name == STOCK else name)


UNDER = shlex.split(os.environ.get("FERRIO_TEST_UNDER", ""))
"""A checker that programs run under, valgrind say (``make check-memory``)."""
SLOWER = 50 if UNDER else 1
"""How many times as long a program may take there."""


def command(name, script, *args):
    """The command line that runs *script* under the implementation *name*."""
    return [
        *UNDER,
        sys.executable,
        "-X",
        "faulthandler",
        os.path.abspath(__file__),
        name,
        str(script),
        *map(str, args),
    ]


class Ended(NamedTuple):
    """How a test process ended."""

    returncode: int | str
    stdout: str
    stderr: str


def run(name, script, *args, seconds, **options):
    """Run *script* under *name* in a session of its own, and end all of it when it ends or after *seconds*.

    Its output goes through files: a grandchild that is left behind would hold a pipe open.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        proc = subprocess.Popen(
            command(name, script, *args),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            **options,
        )
        try:
            status = proc.wait(seconds * SLOWER)
        except subprocess.TimeoutExpired:
            # SIGABRT makes faulthandler write every thread's stack.
            proc.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                proc.wait(5)
            status = "timeout"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(proc.pid, signal.SIGKILL)
            proc.wait()
        texts = []
        for f in (out, err):
            f.seek(0)
            texts.append(f.read().decode("utf-8", "replace"))
        return Ended(status, *texts)


def install(name):
    """Make ``import asyncio`` give the implementation *name* in this process."""
    if name == STOCK:
        return
    if "asyncio" in sys.modules:
        raise RuntimeError("asyncio was imported before its replacement could be installed")
    replacement = package(name)
    replacement.install()
    if sys.modules["asyncio"].Future is not replacement.Future:
        raise RuntimeError(f"{name}.install() left something else in asyncio's place")


if __name__ == "__main__":
    # A shell starts background jobs with SIGINT ignored, and nohup its own with SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    install(sys.argv[1])
    script = sys.argv[2]
    sys.argv = sys.argv[2:]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    runpy.run_path(script, run_name="__main__")
