"""Servers under load: a server process on one core, the Rust load generator on another.

Two figures come out. Messages per second is what a user sees, but both processes and everything else on the
machine have a part in it. The server's CPU time per message belongs to the implementation alone and is
steadier; ratios and targets use that one. The generator reads it from the server's CPU clock, at the same
instants as the wall clock, so start and warm-up are in neither.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.implementations import LIMIT, ROOT, last_line, python_environment
from bench.scenario import Scenario

CRATE = Path(__file__).resolve().parent / "loadgen"
TARGET = CRATE / "target" / "-".join(filter(None, platform.libc_ver()))
"""One for each libc: a checkout may be used from inside of a newer system too (`tests/forky.sh`)."""
PROGRAM = TARGET / "release" / "ferrio-loadgen"
WARM_UP_SECONDS = 0.1
SLOWEST_BYTES = 64e6
"""With much under way at once, warm-up and measurement last long enough for it to come round at so many bytes/s."""
START_SECONDS = 30


@functools.cache
def build() -> str:
    """Build the load generator if it is out of date; returns why that failed, or an empty string."""
    if sys.platform != "linux":
        return "the load generator pins cores and reads CPU clocks as Linux does"
    cargo = shutil.which("cargo")
    if cargo is None:
        return "" if PROGRAM.exists() else "no cargo to build the load generator with"
    # `bench/loadgen` is a workspace of its own, with its own target directory, whatever the caller set.
    environment = os.environ | {"CARGO_TARGET_DIR": str(TARGET)}
    done = subprocess.run(
        [cargo, "build", "--release", "--quiet", "--locked"],
        cwd=CRATE,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    return "" if done.returncode == 0 else f"cargo build failed: {last_line(done.stderr)}"


def _pinned(core: int, command: list[str]) -> list[str]:
    # By a tiny exec wrapper and not preexec_fn: Python code between fork and exec may deadlock in a process
    # that has threads, and pinning from outside would come after the child's first threads.
    pin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execv(sys.argv[2], sys.argv[2:])"
    return [sys.executable, "-S", "-E", "-c", pin, str(core), *command]


def cores() -> tuple[int, int]:
    """The server's core and the generator's: the first and the last that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def _server(scenario: Scenario, implementation: str, core: int) -> Iterator[tuple[int, int]]:
    """A running server: its port and process id. Raises RuntimeError if it does not start."""
    if implementation == LIMIT:
        command = [str(PROGRAM), "serve", scenario.load]
    else:
        command = [sys.executable, "-m", "bench.server", scenario.module, scenario.name, implementation]
    process = subprocess.Popen(
        _pinned(core, command),
        cwd=ROOT,
        env=python_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(last_line(process.stderr.read()) or "the server did not start")
        yield int(port), process.pid
    finally:
        process.kill()
        process.communicate()


def measure(scenario: Scenario, implementation: str, budget: float) -> dict[str, float]:
    """Run the scenario's server under load for `budget` seconds.

    Raises RuntimeError with the reason if the server or the generator cannot run, or the server fails.
    """
    if reason := build():
        raise RuntimeError(reason)
    server_core, load_core = cores()
    round_seconds = scenario.connections * scenario.message_bytes / SLOWEST_BYTES
    warm_up, budget = max(WARM_UP_SECONDS, round_seconds), max(budget, round_seconds)
    with _server(scenario, implementation, server_core) as (port, pid):
        numbers = [
            port,
            scenario.connections,
            scenario.message_bytes,
            int(warm_up * 1000),
            int(budget * 1000),
            pid,
        ]
        command = [str(PROGRAM), "drive", scenario.load, *map(str, numbers)]
        done = subprocess.run(
            _pinned(load_core, command),
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS + warm_up + budget,
        )
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr) or f"exit status {done.returncode}")
    seen = json.loads(done.stdout)
    return {
        "ns": seen["server_cpu_ns"] / seen["messages"],
        "cpu_ns": seen["server_cpu_ns"] / seen["messages"],
        "messages_per_second": seen["messages"] / seen["wall_ns"] * 1e9,
        "p50_ns": seen["p50_ns"],
        "p99_ns": seen["p99_ns"],
        "operations": seen["messages"],
    }
