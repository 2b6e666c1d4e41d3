"""How many instructions ferrio takes for one operation: a figure that a busy machine does not change.

    python -m bench.instructions              count, and compare with bench/instructions-3.NN.json
    python -m bench.instructions --record     count, and write that file anew
    python -m bench.instructions --only GLOB  only these scenarios (repeatable)

The scenarios run in one process under valgrind's callgrind, each with N operations and then with 2N: their difference,
divided by N, is what an operation takes, without the start of anything. Counted is what runs in the process, ferrio's
and the interpreter's; the kernel's part is not seen. Nothing is said about time: an instruction that waits for
memory counts as any other. `make bench` measures time.

What is counted depends on the compiler and on the interpreter as much as on ferrio's source, so the file names both,
and with others there is nothing to compare: the counts are printed, and the exit status is 0. Where it compares, an
operation that takes more than TOLERANCE more instructions than recorded is an error.

This process measures nothing itself: the measured one is the same file with other arguments (`measured`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bench.implementations import ROOT, become, last_line, python_environment
from bench.scenario import Body, load

TOLERANCE = 0.02
"""How much more than recorded is an error. Runs of the same build differ by up to 0.4 %: what the loop does by the
clock (a look at the interpreter each millisecond, a poll while work is ready) is not the same in each."""

# Scenario -> module, N. N is large against what grows in steps (lists, freelists, the ready queue), and as small as
# that allows: valgrind takes some fifty times as long as the processor.
SCENARIOS = {
    "call_soon_chain": ("scenarios_core", 4000),
    "yield_one_task": ("scenarios_core", 4000),
    "sleep0": ("scenarios_core", 4000),
    "future_ping_pong": ("scenarios_core", 4000),
    "create_task_await": ("scenarios_core", 4000),
    "gather_100": ("scenarios_core", 4000),
    "taskgroup_100": ("scenarios_core", 4000),
    "timeout_ctx": ("scenarios_core", 4000),
    "wait_for": ("scenarios_core", 4000),
    "call_later_cancel": ("scenarios_core", 4000),
    "queue_unblocked": ("scenarios_sync", 4000),
    "queue_handoff": ("scenarios_sync", 4000),
    "lock_uncontended": ("scenarios_sync", 4000),
    "lock_contended": ("scenarios_sync", 4000),
    "semaphore_10_50tasks": ("scenarios_sync", 4000),
    "event_fanout_200": ("scenarios_sync", 4000),
    "condition_notify": ("scenarios_sync", 4000),
    "streams_echo_64": ("scenarios_pairs", 1000),
    "streams_lines": ("scenarios_pairs", 1000),
    "protocol_echo_64": ("scenarios_pairs", 1000),
    "sock_echo_64": ("scenarios_pairs", 1000),
}

PATIENCE_SECONDS = 600

MARK = "getloadavg"
"""The C function at whose calls callgrind ends a part of its counts; nothing else calls it."""
mark = os.getloadavg


def measured(names: list[str]) -> None:
    """The measured process: each scenario with N operations and with 2N, the marks around them."""
    import gc

    runner = become("ferrio")

    async def operations(body: Body, n: int) -> None:
        await body(n // 4)
        gc.collect()
        mark()
        await body(n)
        gc.collect()
        mark()
        await body(2 * n)
        gc.collect()
        mark()

    with runner() as running:
        for name in names:
            module, n = SCENARIOS[name]
            body = load(module, name).body
            assert body is not None
            running.run(operations(body, n))


def count(names: list[str]) -> dict[str, float]:
    """The instructions of one operation of each scenario. Raises RuntimeError if that cannot be had."""
    with tempfile.TemporaryDirectory() as directory:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={directory}/part",
            f"--dump-before={MARK}",
            sys.executable,
            *("-m", "bench.instructions", "--measured", *names),
        ]
        if shutil.which("setarch"):
            # Where memory lies decides about collisions of hashes and about alignment.
            command = ["setarch", platform.machine(), "--addr-no-randomize", *command]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=python_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        if done.returncode != 0:
            raise RuntimeError(last_line(done.stderr) or f"exit status {done.returncode}")
        # Each mark has ended a part, numbered from 1; three for each scenario, the first of which is preparation.
        parts = [total(Path(directory, f"part.{number}")) for number in range(1, 3 * len(names) + 1)]
    few, many = parts[1::3], parts[2::3]
    return {name: (many[i] - few[i]) / SCENARIOS[name][1] for i, name in enumerate(names)}


def total(part: Path) -> int:
    """The instructions in one of callgrind's files."""
    found = re.search(r"^(?:summary|totals): (\d+)", part.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{part.name} of callgrind's has no sum")
    return int(found[1])


def built_with() -> dict[str, str]:
    """What the counts depend on beside ferrio's source."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, check=True, text=True).stdout
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, check=True, text=True).stdout
    options = shlex.split(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "rustc": rustc.strip(),
        "python": f"{platform.python_version()}, {platform.python_compiler()}",
        # How it was made, less the paths: one with --enable-optimizations is another program.
        "python options": " ".join(word for word in options if word.startswith(("--enable", "--with"))),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": valgrind.strip(),
    }


def compare(counts: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """Print the table; returns the scenarios that take more than they may."""
    worse = []
    print(f"{'instructions per operation':28} {'recorded':>10} {'counted':>10}")
    for name, now in counts.items():
        before = recorded.get(name)
        change = now / before - 1 if before else 0.0
        mark = ""
        if change > TOLERANCE:
            worse.append(name)
            mark = " <-- more than it may"
        elif change < -TOLERANCE:
            mark = " (better: --record)"
        figures = f"{before:10,.0f} {now:10,.0f} {change:+7.1%}" if before else f"{'':10} {now:10,.0f}"
        print(f"{name:28} {figures}{mark}")
    return worse


def main(argv: list[str] | None = None) -> int:
    """Count, then compare or record; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bench.instructions", description="Count ferrio's instructions.")
    parser.add_argument("--record", action="store_true", help="write the file of counts anew")
    parser.add_argument("--only", metavar="GLOB", action="append", default=[], help="only these (repeatable)")
    parser.add_argument("--measured", nargs="+", metavar="SCENARIO", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measured:
        measured(options.measured)
        return 0
    if shutil.which("valgrind") is None:
        print("valgrind is missing (Debian: apt-get install valgrind)", file=sys.stderr)
        return 2

    names = [
        name for name in SCENARIOS if not options.only or any(fnmatchcase(name, o) for o in options.only)
    ]
    counts = {name: round(instructions, 1) for name, instructions in count(names).items()}
    path = Path(__file__).parent / "instructions-{}.{}.json".format(*sys.version_info)
    here = built_with()
    known: dict[str, Any] = (
        json.loads(path.read_text()) if path.exists() else {"built_with": here, "counts": {}}
    )
    differ = [key for key, value in here.items() if known["built_with"].get(key) != value]
    recorded: dict[str, float] = {} if differ else known["counts"]
    worse = compare(counts, recorded)
    if options.record:
        path.write_text(json.dumps({"built_with": here, "counts": {**recorded, **counts}}, indent=1) + "\n")
        return 0
    if differ:
        print(f"not compared: {', '.join(differ)} differ from what {path.name} was recorded with")
        return 0
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
