"""Scenarios that are whole processes: what a program pays before its first line of work.

Timed as a new process that runs the statement, less a bare interpreter started right before it, so that
what both share (exec, the interpreter's own start, `site`) falls out. No `-X importtime`: it slows imports
unevenly.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from statistics import median
from time import perf_counter

from bench.implementations import last_line, python_environment
from bench.scenario import Scenario, cold_process

cold_process(
    "import_time",
    "import",
    __name__,
    {
        "stock": "import asyncio",
        "uvloop": "import uvloop",
        "rloop": "import rloop",
        "ferrio": "import ferrio",
    },
)
# An import alone could be made cheap by putting everything off; this one has to have done it.
cold_process(
    "import_and_run",
    "first run",
    __name__,
    {
        "stock": "import asyncio; asyncio.run(asyncio.sleep(0))",
        "uvloop": "import asyncio, uvloop; uvloop.run(asyncio.sleep(0))",
        "rloop": "import asyncio, rloop\n"
        "with asyncio.Runner(loop_factory=rloop.new_event_loop) as r: r.run(asyncio.sleep(0))",
        "ferrio": "import ferrio; ferrio.run(ferrio.sleep(0))",
    },
)

PROCESSES_PER_SECOND = 30
"""Pairs of processes per second of budget, a few at the least; in time they exceed the budget."""


def _process(statement: str) -> tuple[float, float]:
    """Wall and CPU seconds of a new interpreter that runs `statement`. Raises RuntimeError if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = perf_counter()
    # In a directory of no modules: `-c` puts the current one on the path, and it would be searched first.
    done = subprocess.run(
        [sys.executable, "-c", statement],
        cwd=tempfile.gettempdir(),
        env=python_environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    wall = perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr) or f"exit status {done.returncode}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(scenario: Scenario, implementation: str, budget: float) -> dict[str, float]:
    """Time the scenario's statement for `implementation` in new processes."""
    statement = scenario.statements[implementation]
    pairs = max(5, int(budget * PROCESSES_PER_SECOND))
    _process(statement)  # writes the byte code, and brings the files into the page cache
    walls, cpus = [], []
    for _ in range(pairs):
        bare_wall, bare_cpu = _process("pass")
        wall, cpu = _process(statement)
        walls.append(wall - bare_wall)
        cpus.append(cpu - bare_cpu)
    return {"ns": median(walls) * 1e9, "cpu_ns": median(cpus) * 1e9, "operations": pairs}
