"""wrk as the load generator of an HTTP server: one load, and what it took of the server's CPU time.

The same figures as `load.drive` gives, with two differences that are wrk's: a load takes whole seconds, one at least,
and its connections are made in the measured time, which is sixty-four of some fifty thousand operations.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import time

UNITS = {"us": 1e3, "ms": 1e6, "s": 1e9}
QUIET_SECONDS = 0.005
"""A server whose CPU clock stands still for so long has done what was left of the load before."""
PATIENCE_SECONDS = 30


def cpu_ns(pid: int) -> int:
    """The CPU time of a process and all its threads."""
    # What clock_getcpuclockid(3) makes of a process id; Python has no function for it.
    return time.clock_gettime_ns((~pid << 3) | 2)


def wait_until_quiet(pid: int) -> None:
    """Wait until a process is blocked."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    before = cpu_ns(pid)
    while True:
        time.sleep(QUIET_SECONDS)
        now = cpu_ns(pid)
        if now == before:
            return
        if time.monotonic() > deadline:
            raise RuntimeError("the server does not come to rest")
        before = now


def drive(port: int, pid: int, connections: int, seconds: float) -> dict[str, float]:
    """Load the server for `seconds`, rounded up to whole ones. Raises RuntimeError with the reason if that fails."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is missing (`sh .ci/peers` installs it)")
    duration = max(1, math.ceil(seconds))
    command = [
        wrk,
        "--threads",
        "1",
        "--connections",
        str(connections),
        "--duration",
        f"{duration}s",
        "--latency",
    ]
    wait_until_quiet(pid)
    cpu, wall = cpu_ns(pid), time.monotonic_ns()
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"],
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_SECONDS + duration,
    )
    cpu, wall = cpu_ns(pid) - cpu, time.monotonic_ns() - wall
    if done.returncode != 0:
        raise RuntimeError((done.stderr or done.stdout).strip())
    return figures(done.stdout, cpu, wall)


def figures(said: str, cpu: int, wall: int) -> dict[str, float]:
    """What wrk said, made into a sample; `cpu` and `wall` are nanoseconds. RuntimeError if not all went well."""
    # It names errors only if there were any.
    for word in ("Socket errors", "Non-2xx"):
        if word in said:
            raise RuntimeError(next(line for line in said.splitlines() if word in line).strip())
    requests = re.search(r"(\d+) requests in", said)
    if requests is None or not int(requests[1]):
        raise RuntimeError("wrk had no request answered")
    count = int(requests[1])
    return {
        "ns": cpu / count,
        "cpu_ns": cpu / count,
        "messages_per_second": count / wall * 1e9,
        "p50_ns": _percentile(said, "50%"),
        "p99_ns": _percentile(said, "99%"),
        "operations": count,
    }


def _percentile(said: str, name: str) -> float:
    found = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s)", said, re.MULTILINE)
    return float(found[1]) * UNITS[found[2]] if found else math.nan
