"""The implementations under comparison: how a process becomes one of them, and whether it can.

`stock` is CPython's; the names in `LOOPS` are asyncio with that loop, which is all there is to them. `ferrio` is the
whole package in asyncio's place, because that is how it is used (`ferrio run`). Imported in the measured
process before asyncio, so asyncio is imported inside functions only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

ROOT = Path(__file__).resolve().parent.parent
LOOPS = ("uvloop", "rloop", "zuvloop", "rsloop")
"""Loops for stock asyncio; the last two need Python 3.14."""
PATCHED = {"aiofastnet": "", "aiofastnet-uvloop": "uvloop"}
"""aiofastnet's networking and TLS in the loop's place, and the loop beneath it: measured where TLS is."""
NAMES = ("stock", *LOOPS, "ferrio")
TLS_NAMES = ("stock", *LOOPS, *PATCHED, "ferrio-portable", "ferrio")
"""With TLS there are more: ferrio is the direct engine where it can be, `ferrio-portable` the other one."""
BEFORE = "ferrio-before"
"""An earlier build of ferrio, of which `FERRIO_BEFORE` names the folder that has the package; only if asked for."""
LIMIT = "epoll"
"""The bare epoll server (`loadgen/src/serve.rs`): not an asyncio, only the limit for one."""


def become(name: str) -> Callable[[], asyncio.Runner]:
    """Make this process use the implementation `name`; returns what makes a Runner on its loop.

    Call it before anything imports asyncio. Raises ImportError where the implementation is not installed.
    """
    if "asyncio" in sys.modules:
        # ferrio would still work, patched in place, but it would share the process with a second asyncio.
        raise RuntimeError("asyncio is already imported: something before become() must not be")
    if name == "ferrio-portable":
        os.environ["FERRIO_TLS"] = "portable"
        name = "ferrio"
    if name == BEFORE:
        sys.path.insert(0, os.environ["FERRIO_BEFORE"])
        name = "ferrio"
    if name == "ferrio":
        import ferrio

        ferrio.install()
    if name in LOOPS:
        from asyncio import Runner
        from importlib import import_module

        factory = import_module(name).new_event_loop
        return lambda: Runner(loop_factory=factory)
    if name in PATCHED:
        return _patched(PATCHED[name])
    if name not in ("stock", "ferrio"):
        raise ValueError(f"no implementation is called {name!r}; there are {', '.join(NAMES)}")
    from asyncio import Runner

    return Runner


def _patched(beneath: str) -> Callable[[], asyncio.Runner]:
    """aiofastnet as its users have it: a loop factory, and its `start_server` in place of asyncio's."""
    import asyncio
    from importlib import import_module

    aiofastnet = import_module("aiofastnet")

    async def start_server(*args: Any, **kwargs: Any) -> Any:
        return await aiofastnet.start_server(asyncio.get_running_loop(), *args, **kwargs)

    asyncio.start_server = start_server
    factory = import_module(beneath).new_event_loop if beneath else None
    return lambda: asyncio.Runner(loop_factory=aiofastnet.loop_factory(factory))


def python_environment() -> dict[str, str]:
    """The environment of a measured process: ours, less what would change what is measured.

    Debug and development modes make asyncio another program, profilers and PYTHONPATH additions a slower one.
    """
    dropped = {"PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONPROFILEIMPORTTIME"}
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    # A fixed hash seed: with a random one, dict and set order differ between the processes that are compared.
    environment["PYTHONHASHSEED"] = "0"
    return environment


@dataclass(frozen=True)
class Availability:
    """Whether an implementation can be measured here: its version, or the reason why not."""

    version: str
    reason: str = ""


_PROBE = """
import sys
from importlib.metadata import PackageNotFoundError, version
from bench.implementations import BEFORE, become
name = sys.argv[1]
runner = become(name)
import asyncio
with runner() as r:
    r.run(asyncio.sleep(0))
try:
    if name == BEFORE:
        print(sys.modules["ferrio"].__file__)
    else:
        print(sys.version.split()[0] if name == "stock" else version(name.partition("-")[0]))
except PackageNotFoundError:
    print("not a distribution")
"""


def probe(name: str) -> Availability:
    """Run a trivial program on the implementation in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, name],
            cwd=ROOT,
            env=python_environment(),
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        return Availability("", "a trivial program hung")
    if done.returncode != 0:
        return Availability("", last_line(done.stderr) or f"exit status {done.returncode}")
    return Availability(last_line(done.stdout))


def last_line(text: str) -> str:
    """The last non-empty line: of a traceback, the one that names the error."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
