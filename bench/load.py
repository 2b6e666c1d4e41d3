"""A server process on one core, the Rust load generator on another: one load, and what it took.

Two figures come out. Messages per second is what a user sees, but both processes and everything else on the
machine have a part in it. The server's CPU time per message belongs to the implementation alone and is
steadier; ratios and targets use that one. The generator reads it from the server's CPU clock, at the same
instants as the wall clock, so start and warm-up are in neither.

Which servers are loaded, when and for how long, is said in `slices.py`.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import certificates, wrk
from bench.implementations import LIMIT, ROOT, last_line, python_environment
from bench.scenario import Scenario

CRATE = Path(__file__).resolve().parent / "loadgen"
TARGET = CRATE / "target" / "-".join(filter(None, platform.libc_ver()))
"""One for each libc: a checkout may be used from inside of a newer system too (`tests/forky.sh`)."""
PROGRAM = TARGET / "release" / "ferrio-loadgen"
PATIENCE_SECONDS = 30
"""A server that takes longer to start, or a generator that takes this much longer than its load, hangs."""
LAST_WORDS_BYTES = 65536


@functools.cache
def build(tls: bool) -> str:
    """Build the load generator if it is out of date; returns why that failed, or an empty string.

    With TLS it needs OpenSSL's headers.
    """
    if sys.platform != "linux":
        return "the load generator pins cores and reads CPU clocks as Linux does"
    cargo = shutil.which("cargo")
    if cargo is None:
        return "" if PROGRAM.exists() else "no cargo to build the load generator with"
    # `bench/loadgen` is a workspace of its own, with its own target directory, whatever the caller set.
    environment = os.environ | {"CARGO_TARGET_DIR": str(TARGET)}
    features = ["--features", "tls"] if tls else []
    done = subprocess.run(
        [cargo, "build", "--release", "--quiet", "--locked", *features],
        cwd=CRATE,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    return "" if done.returncode == 0 else f"cargo build failed: {last_line(done.stderr)}"


def cores() -> tuple[int, int]:
    """The server's core and the generator's: the first and the last that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes that are started in the block run on that core only, from their first instruction.

    By inheritance: pinning a child from outside would come after its first threads, and Python code between fork and
    exec may deadlock.
    """
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def certificate_of(scenario: Scenario) -> list[str]:
    """The certificate and key that the bare server needs, if the load talks TLS."""
    return [str(path) for path in certificates.of(scenario.certificate)] if scenario.is_tls else []


class Server:
    """A running server of a scenario. It ends with its standard input, so it cannot outlive this process."""

    def __init__(self, scenario: Scenario, implementation: str, core: int) -> None:
        """Start it; `wait_for_port` says when it is there."""
        if implementation == LIMIT:
            command = [str(PROGRAM), "serve", scenario.load, *certificate_of(scenario)]
        else:
            command = [sys.executable, "-m", "bench.server", scenario.module, scenario.name, implementation]
        # Not a pipe: nobody would read it, and a server that prints much would stall when it is full.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        with on_core(core):
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=python_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
            )
        self.pid = self._process.pid
        self.port = 0

    def wait_for_port(self) -> None:
        """Wait until it listens. Raises RuntimeError if that does not come about."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_SECONDS)
        line = self._process.stdout.readline().strip() if ready else b""
        if not line:
            raise RuntimeError("the server did not start")
        self.port = int(line)

    def end(self) -> str:
        """Kill it, if it has not ended; returns what is to be said about it: its last words, or an empty string."""
        ended_by_itself = self._process.poll()
        self._process.kill()
        self._process.communicate()
        with self._stderr as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
            words = last_line(file.read().decode(errors="replace"))
        if ended_by_itself is None or words:
            return words
        return f"exit status {ended_by_itself}"


def drive(scenario: Scenario, server: Server, core: int, warm_up: float, seconds: float) -> dict[str, float]:
    """Load the server for `seconds` over new connections, which are up and warm before and have ended after.

    Raises RuntimeError with the reason if the generator cannot run, or the server fails.
    """
    if scenario.load == "http":
        with on_core(core):
            return wrk.drive(server.port, server.pid, scenario.connections, seconds)
    numbers = [
        server.port,
        scenario.connections,
        scenario.message_bytes,
        round(warm_up * 1000),
        round(seconds * 1000),
        server.pid,
    ]
    with on_core(core):
        process = subprocess.Popen(
            [str(PROGRAM), "drive", scenario.load, *map(str, numbers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        try:
            out, errors = process.communicate(timeout=PATIENCE_SECONDS + warm_up + seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise RuntimeError("timed out") from None
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise RuntimeError(last_line(errors) or f"exit status {process.returncode}")
    seen = json.loads(out)
    return {
        "ns": seen["server_cpu_ns"] / seen["messages"],
        "cpu_ns": seen["server_cpu_ns"] / seen["messages"],
        "messages_per_second": seen["messages"] / seen["wall_ns"] * 1e9,
        "p50_ns": seen["p50_ns"],
        "p99_ns": seen["p99_ns"],
        "operations": seen["messages"],
    }
