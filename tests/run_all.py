"""Run every kind of test that there is, and say in one line what it all came to.

    python tests/run_all.py              what `make test` runs: all but the ecosystem
    python tests/run_all.py --all        that too, as `make check` and CI do
    python tests/run_all.py core pytest  only these

The tests have four runners (cargo's, pytest, the conformance runner, and pytest again for real programs), and each
closes on a line of its own shape. Their output goes through unchanged; only those lines are read, and the sum
is the last line printed, `N passed, N failed, N skipped`, which is also what the exit status says. A runner that
fails without counting a failure, or that passes without having run a test, counts as one failure: a crash, or a
filter that matches nothing, must not look like success. Expected failures (each has its reason where it is
declared) are neither passed nor failed; they are counted as skipped, and named in the table.

Run by the interpreter that ferrio was built for. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The modules of test.test_asyncio whose subjects are built; the others join as theirs are. `make conformance` runs
# all of them, and tests/conformance/scores.json holds what may not fall.
CONFORMANCE = [
    "test_base_events",
    "test_buffered_proto",
    "test_context",
    "test_eager_task_factory",
    "test_events",
    "test_free_threading",
    "test_futures",
    "test_futures2",
    "test_graph",
    "test_locks",
    "test_pep492",
    "test_protocols",
    "test_queues",
    "test_runners",
    "test_selector_events",
    "test_sendfile",
    "test_server",
    "test_sock_lowlevel",
    "test_ssl",
    "test_sslproto",
    "test_staggered",
    "test_streams",
    "test_subprocess",
    "test_taskgroups",
    "test_tasks",
    "test_threads",
    "test_timeouts",
    "test_transports",
    "test_unix_events",
    "test_waitfor",
]

# The tests that are run once more with the other driver: those that wait for descriptors. Where the system refuses
# io_uring, they run on epoll again, and tests/net/test_driver.py says by its skips that they did.
UNDER_BOTH_DRIVERS = ["tests/net", "tests/streams", "tests/files/test_waiting.py", "tests/test_fairness.py"]
CONFORMANCE_UNDER_BOTH_DRIVERS = ["test_buffered_proto", "test_server", "test_sock_lowlevel", "test_streams"]


@dataclass
class Count:
    """What a runner said of itself."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    expected: int = 0
    """Of the skipped: failures that were expected."""

    def __iadd__(self, other: Count) -> Count:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.expected += other.expected
        return self

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def of_cargo(line: str) -> Count | None:
    """`test result: ok. 5 passed; 0 failed; 1 ignored; …`, one per test binary."""
    found = re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", line)
    return Count(*map(int, found.groups())) if found else None


def of_pytest(line: str) -> Count | None:
    """`=== 3 passed, 1 skipped, 1 xfailed in 0.10s ===`; with -q the rules are missing."""
    found = re.fullmatch(r"=*\s*((?:\d+ \w+(?:, )?)+) in [\d.:]+s?(?: \(.*\))?\s*=*", line)
    if not found:
        return None
    words = {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) (\w+)", found[1])}
    expected = words.get("xfailed", 0)
    return Count(
        passed=words.get("passed", 0),
        failed=words.get("failed", 0) + words.get("error", 0) + words.get("xpassed", 0),
        skipped=words.get("skipped", 0) + expected,
        expected=expected,
    )


def of_conformance(line: str) -> Count | None:
    """`N passed, N failed[, N expected failures], N skipped`, alone on a line."""
    found = re.fullmatch(
        r"(\d+) passed, (\d+) failed(?:, (\d+) expected failures?)?(?:, (\d+) skipped)?", line
    )
    if not found:
        return None
    passed, failed, expected, skipped = (int(number or 0) for number in found.groups())
    return Count(passed, failed, skipped + expected, expected)


@dataclass
class Stage:
    """One runner: what it is asked to do, and how its closing line reads."""

    name: str
    title: str
    command: list[str]
    read: Callable[[str], Count | None]
    environment: dict[str, str] = field(default_factory=dict)
    limit: float = 1500
    """Seconds after which it is ended, and has failed: one test that hangs must not take the others' time."""


def stages() -> list[Stage]:
    """All of them, cheap ones first: what is broken below shows before what stands on it."""
    python = [sys.executable, "-X", "faulthandler"]
    cargo = ["cargo", "test", "--quiet"]
    # The object layer's tests embed this interpreter; where it comes as a shared library, they have to find that.
    libraries = [sysconfig.get_config_var("LIBDIR") or "", os.environ.get("LD_LIBRARY_PATH", "")]
    embedding = {
        "PYO3_PYTHON": sys.executable,
        "PYTHONHOME": sys.base_prefix,
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
    }
    conformance = [*python, "tests/conformance/run.py", "--package", "ferrio", "--modules"]
    uring = {"FERRIO_DRIVER": "io_uring"}
    return [
        Stage("core", "cargo test of ferrio-core", [*cargo, "-p", "ferrio-core"], of_cargo),
        Stage("openssl", "cargo test of ferrio-openssl", [*cargo, "-p", "ferrio-openssl"], of_cargo),
        Stage("object", "cargo test of ferrio-object", [*cargo, "-p", "ferrio-object"], of_cargo, embedding),
        Stage(
            "pytest",
            "pytest of tests/",
            [*python, "-m", "pytest", "-q", "--ignore=tests/ecosystem", "tests"],
            of_pytest,
            limit=2400,
        ),
        Stage(
            "conformance",
            "CPython's own tests of asyncio",
            [*conformance, ",".join(conformance_modules())],
            of_conformance,
        ),
        Stage(
            "uring",
            "pytest of the network, with io_uring as the driver",
            [*python, "-m", "pytest", "-q", *UNDER_BOTH_DRIVERS],
            of_pytest,
            uring,
        ),
        Stage(
            "uring-conf",
            "CPython's own tests of the network, with io_uring as the driver",
            [*conformance, ",".join(conformance_modules(CONFORMANCE_UNDER_BOTH_DRIVERS))],
            of_conformance,
            uring,
        ),
        Stage(
            "children",
            "CPython's own tests of subprocesses, with a thread for each child",
            [*conformance, "test_subprocess"],
            of_conformance,
            {"FERRIO_CHILD_WATCHER": "thread"},
        ),
        Stage(
            "ecosystem",
            "real programs, unmodified",
            [*python, "-m", "pytest", "-q", "tests/ecosystem"],
            of_pytest,
        ),
    ]


def conformance_modules(wanted: list[str] = CONFORMANCE) -> list[str]:
    """Those that this Python has: some came with a later one."""
    suite = Path(sysconfig.get_path("stdlib")) / "test" / "test_asyncio"
    return [module for module in wanted if (suite / f"{module}.py").exists()]


def lacking(stage: Stage) -> str:
    """What has to be installed before a stage can be run; empty if nothing. Without it, the stage has failed."""
    if stage.name == "object":
        version = sysconfig.get_config_var("LDVERSION") or ""
        libdir, multiarch = (sysconfig.get_config_var(name) or "" for name in ("LIBDIR", "MULTIARCH"))
        if not any((Path(libdir) / sub / f"libpython{version}.so").exists() for sub in ("", multiarch)):
            return (
                f"these tests embed Python, and this one comes without libpython{version}.so "
                f"(Debian: apt-get install libpython{version}-dev; pyenv: build it with "
                "PYTHON_CONFIGURE_OPTS=--enable-shared)"
            )
    return ""


def missing(stage: Stage) -> str:
    """Why a stage cannot be run on this machine at all; empty if it can."""
    if stage.name == "conformance" and not importlib.util.find_spec("test.test_asyncio"):
        return "this Python comes without its own tests (Debian: libpython3-testsuite); take another"
    return ""


@contextlib.contextmanager
def ended_after(seconds: float, process: subprocess.Popen[str]) -> Iterator[threading.Event]:
    """End a process, which leads a session, and what it started, if the block takes longer. Yields whether it did."""
    late = threading.Event()

    def end() -> None:
        late.set()
        # All of its processes: as long as one of them has the pipe open, the block goes on reading.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield late
    except BaseException:
        # It is not in the terminal's group, and does not see ^C by itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        raise
    finally:
        timer.cancel()


def run(stage: Stage) -> Count:
    """Run one stage with its output passed on, and return what it came to."""
    print(f"\n==> {stage.title}", flush=True)
    if why := lacking(stage):
        print(f"failed: {why}", flush=True)
        return Count(failed=1)
    if why := missing(stage):
        print(f"skipped: {why}", flush=True)
        return Count(skipped=1)
    total = Count()
    with subprocess.Popen(
        stage.command,
        cwd=ROOT,
        env=os.environ | stage.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        with ended_after(stage.limit, process) as late:
            for line in process.stdout:
                sys.stdout.write(line)
                sys.stdout.flush()
                if count := stage.read(line.strip()):
                    total += count
    if late.is_set():
        print(f"{stage.title}: ended after {stage.limit:.0f} s", flush=True)
        total.failed += 1
    elif process.returncode != 0 and not total.failed:
        print(f"{stage.title}: exit status {process.returncode} with no failure counted", flush=True)
        total.failed = 1
    elif not total.passed and not total.failed:
        print(f"{stage.title}: no test was run", flush=True)
        total.failed = 1
    return total


def main(argv: list[str] | None = None) -> int:
    """Run the stages that are asked for; returns the exit status."""
    known = stages()
    parser = argparse.ArgumentParser(description="Run ferrio's tests and sum up.")
    parser.add_argument("--all", action="store_true", help="the ecosystem's too")
    parser.add_argument("stage", nargs="*", help=", ".join(stage.name for stage in known))
    options = parser.parse_args(argv)
    if unknown := set(options.stage) - {stage.name for stage in known}:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    wanted = options.stage or [stage.name for stage in known if options.all or stage.name != "ecosystem"]

    total = Count()
    rows = []
    for stage in known:
        if stage.name in wanted:
            began = time.monotonic()
            count = run(stage)
            total += count
            expected = f" ({count.expected} of them expected to fail)" if count.expected else ""
            rows.append(f"{stage.name:12} {time.monotonic() - began:6.0f} s   {count}{expected}")
    print("\n==> " + "\n    ".join(["in all", *rows]))
    print(total, flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
