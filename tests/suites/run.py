"""Runs other projects' own tests on stock asyncio and then on ferrio: `make suites`.

    python tests/suites/run.py                    all suites of suites.toml
    python tests/suites/run.py websockets janus   only these
    python tests/suites/run.py --json OUT         writes each test's outcome as well

What passes on stock has to pass on ferrio. Differences that are known are in expectations.toml with their reasons; one
that no longer shows is an error too, so that the list cannot go stale. What fails on stock says nothing about ferrio,
and is only counted. A test that fails on ferrio is run once more on stock, alone: if it fails there as well, it is
not steady, and named as such.

A test that hangs, or ends its process, fails; the others of its suite go on in a new process.

Run by an interpreter that ferrio is built for (the Makefile's virtual environment). Standard library only.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from suite import HERE, ROOT, WORK, Unobtainable, all_suites

sys.path.append(str(ROOT / "tests" / "conformance"))
from expectations import Expectations
from servers import CERTIFICATES

PATIENCE = 120
"""Seconds for a test; one that takes longer hangs."""
BETWEEN = 300
"""Seconds for what is no test: imports, collecting, the interpreter's end."""
USUAL = [f"ends its process with status {status}" for status in (0, 1, 5)]
"""How pytest ends: all passed, some failed, none was left to run."""
PROCESS = "the end of the process"
"""Counted as a test of each suite."""
RESTARTS = 50
"""A suite whose process ends more often than that is given up."""


class Outcomes:
    """What plugin/outcomes.py has written: how each test ended, and which one is running."""

    def __init__(self, path):
        self._path = path
        self.ended = {}
        self.why = {}
        self.running = None
        self.asyncio = None
        """The name of the package that the tests had as asyncio."""
        self.seconds = 0
        """How long all of it took."""

    def read(self):
        """Read the file anew."""
        self.ended, self.why, self.running = {}, {}, None
        for line in self._path.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # being written
            record, name, *outcome = json.loads(line)
            if record == "asyncio":
                self.asyncio = name
            elif record == "start":
                self.running = name
            else:
                self.running = None
                self.ended[name], self.why[name] = outcome

    def end(self, name, why):
        """Write down how a test ended that did not do so itself: it passed if there is nothing to say."""
        with self._path.open("a") as file:
            file.write(json.dumps(["end", name, "failed" if why else "passed", why]) + "\n")


def command(suite, implementation, options):
    """The command line that runs a suite's tests, with these further options for pytest."""
    python = [str(suite.python), "-X", "faulthandler"]
    if implementation == "ferrio":
        python += ["-m", "ferrio", "run"]
    # The suite's own configuration holds, but for the options that measure coverage, and what it writes to its folder.
    own = ["--rootdir=.", "--override-ini=addopts=", "-p", "no:cacheprovider", "-p", "outcomes"]
    shown = ["-q", "--tb=short", "--continue-on-collection-errors"]
    return [*python, "-m", "pytest", *own, *shown, *options, *suite.tests]


def play(suite, implementation, directory, only=()):
    """Run a suite's tests on an implementation, to the last of them. Returns its Outcomes."""
    with suite.served() as (options, environment):
        return played(suite, implementation, directory, only, options, environment)


def played(suite, implementation, directory, only, options, environment):
    """`play`, with the server that the suite needs."""
    record = directory / f"{suite.name}-{implementation}.jsonl"
    record.write_text("")
    outcomes = Outcomes(record)
    began = time.monotonic()
    # Both implementations get the same, so that a test that looks at its environment sees the same.
    environment = (
        os.environ
        | environment
        | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(HERE / "plugin")]),
            "SUITES_OUTCOMES": str(record),
            "SUITES_FINISHED": str(directory / "finished"),
            "SUITES_ONLY": "",
            "SUITES_CERTIFICATES": str(CERTIFICATES),
        }
    )
    if only:
        (directory / "only").write_text("\n".join(only))
        environment["SUITES_ONLY"] = str(directory / "only")
    log = WORK / f"{suite.name}-{implementation}.log"
    with log.open("w") as output:
        for _ in range(RESTARTS):
            (directory / "finished").write_text("\n".join(outcomes.ended))
            status = run_once(
                command(suite, implementation, options), suite.sources, environment, output, outcomes
            )
            if outcomes.running is not None:
                outcomes.end(outcomes.running, status)
                outcomes.read()
                continue
            # A process may also end badly after its last test: in the interpreter's own end, say.
            outcomes.end(PROCESS, "" if status in USUAL else status)
            outcomes.read()
            break
    if not only and not set(outcomes.ended) - {PROCESS}:
        raise Unobtainable(f"no test was run on {implementation}; see {log}")
    outcomes.seconds = time.monotonic() - began
    if implementation == "ferrio" and outcomes.asyncio != "ferrio":
        raise Unobtainable(f"the tests had {outcomes.asyncio} for asyncio, not ferrio")
    return outcomes


def run_once(arguments, directory, environment, output, outcomes):
    """Run one pytest process until it ends or hangs. Returns what became of it."""
    process = subprocess.Popen(
        arguments,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    seen, since = None, time.monotonic()
    try:
        while True:
            try:
                status = process.wait(1)
            except subprocess.TimeoutExpired:
                outcomes.read()
                if (progress := (len(outcomes.ended), outcomes.running)) != seen:
                    seen, since = progress, time.monotonic()
                elif time.monotonic() - since > (BETWEEN if outcomes.running is None else PATIENCE):
                    # SIGABRT makes faulthandler write the stacks into the log.
                    process.send_signal(signal.SIGABRT)
                    return "hangs"
            else:
                return f"ends its process with status {status}"
    finally:
        try:
            process.wait(5 if process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        outcomes.read()


class Result:
    """How a suite's tests on ferrio compare with those on stock."""

    def __init__(self, suite, stock, ferrio, again, expectations):
        self.stock, self.ferrio = stock, ferrio
        self.passing = [name for name, outcome in stock.ended.items() if outcome == "passed"]
        self.differing = differing(stock, ferrio)
        self.unsteady = [name for name in self.differing if again.get(name) != "passed"]
        self.expected, self.failed, self.wrongly_expected = {}, [], []
        for name in self.passing:
            known = f"{suite.name}::{name}"
            reason = expectations.reason(known)
            if name in self.unsteady:
                continue
            if name not in self.differing:
                if reason and not expectations.passes_sometimes(known):
                    self.wrongly_expected.append(name)
            elif reason:
                self.expected[name] = reason
            else:
                self.failed.append(name)

    def why(self, name):
        """What is to be said about a test that differs."""
        if name in self.ferrio.ended:
            return self.ferrio.why[name] or self.ferrio.ended[name]
        # Its file was not imported, and that failure is recorded under the file's name.
        return self.ferrio.why.get(name.partition("::")[0], "not run on ferrio")

    @property
    def passed(self):
        """How many tests pass on both."""
        return len(self.passing) - len(self.differing) - len(self.wrongly_expected)

    @property
    def other(self):
        """How many tests do not pass on stock."""
        return len(self.stock.ended) - len(self.passing)

    def print(self, suite):
        """Print the suite's line, and one for each test that needs to be looked at."""
        print(
            f"{suite.name} {suite.version}: {len(self.passing)} pass on stock, of these {self.passed} on ferrio; "
            f"{len(self.failed) + len(self.wrongly_expected)} failed, {len(self.expected)} expected to differ, "
            f"{len(self.unsteady)} not steady on stock; {self.other} do not pass on stock "
            f"({self.stock.seconds:.0f} s, on ferrio {self.ferrio.seconds:.0f} s)"
        )
        listed("FAILED", {name: self.why(name) for name in self.failed})
        listed("PASSES", dict.fromkeys(self.wrongly_expected, "expectations.toml says that it does not"))
        listed("expected", self.expected)
        listed("unsteady", {name: self.why(name) for name in self.unsteady})


def differing(stock, ferrio):
    """The tests that pass on stock and not on ferrio."""
    return [
        name
        for name, outcome in stock.ended.items()
        if outcome == "passed" and ferrio.ended.get(name) != "passed"
    ]


def listed(word, reasons):
    """Print the tests of `reasons` below what is said about them: many fail for one reason."""
    for said in dict.fromkeys(reasons.values()):
        print(f"    {word}: {said}")
        for name, reason in reasons.items():
            if reason == said:
                print(f"        {name}")
    sys.stdout.flush()


def compare(suite, expectations):
    """Run a suite on both; returns its Result. Raises Unobtainable."""
    suite.prepare()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        stock = play(suite, "stock", directory)
        ferrio = play(suite, "ferrio", directory)
        doubtful = differing(stock, ferrio)
        again = play(suite, "stock", directory, only=doubtful).ended if doubtful else {}
    return Result(suite, stock, ferrio, again, expectations)


def main(argv=None):
    """Run the suites that are asked for; returns the exit status."""
    suites = all_suites()
    parser = argparse.ArgumentParser(description="Run other projects' tests on stock asyncio and on ferrio.")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the outcome of each test on both")
    parser.add_argument("suite", nargs="*", help=", ".join(suite.name for suite in suites))
    options = parser.parse_args(argv)
    if unknown := set(options.suite) - {suite.name for suite in suites}:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    expectations = Expectations(HERE / "expectations.toml")

    results, missing = {}, {}
    for suite in suites:
        if options.suite and suite.name not in options.suite:
            continue
        try:
            results[suite.name] = compare(suite, expectations)
        except Unobtainable as error:
            missing[suite.name] = str(error)
            print(f"{suite.name} {suite.version}: NOT RUN: {error}", flush=True)
        else:
            results[suite.name].print(suite)
    if options.json:
        options.json.write_text(json.dumps({
            name: {"stock": result.stock.ended, "ferrio": result.ferrio.ended, "why": result.ferrio.why}
            for name, result in results.items()
        }, indent=1))  # fmt: skip

    stale = []
    if not options.suite and not missing:
        stale = expectations.stale(
            [f"{suite}::{name}" for suite, result in results.items() for name in result.stock.ended]
        )
    for glob in stale:
        print(f"expectations.toml: no test is called {glob}")
    failed = (
        sum(len(r.failed) + len(r.wrongly_expected) for r in results.values()) + len(missing) + len(stale)
    )
    skipped = sum(len(r.expected) + len(r.unsteady) + r.other for r in results.values())
    print(f"{sum(r.passed for r in results.values())} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
