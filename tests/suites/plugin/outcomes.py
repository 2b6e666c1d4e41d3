"""A pytest plugin that writes down how each test ended, as it ends: `-p outcomes`, loaded by run.py.

A file of JSON lines, named by SUITES_OUTCOMES: `["start", id]`, then `["end", id, outcome, why]`. It is written as the
tests go, because a test may hang or end its process; what began and never ended is then known by name. Tests named in
the file SUITES_FINISHED, a line each, have run before and are left out; those of SUITES_ONLY alone are run, if that
is set.

The first line is `["asyncio", name]`: which package the tests know by that name. It is looked up and not imported,
since this runs on stock asyncio as on ferrio.
"""

import json
import os
import sys
from pathlib import Path

import pytest


def _named(variable):
    path = os.environ.get(variable)
    return set(Path(path).read_text().splitlines()) if path else set()


class Outcomes:
    """Follows the run of one pytest process."""

    def __init__(self, path):
        self._file = open(path, "a", buffering=1)  # noqa: SIM115 - open as long as the process
        self._outcome = None

    def _write(self, *record):
        self._file.write(json.dumps(record) + "\n")

    def pytest_sessionstart(self):
        asyncio = sys.modules.get("asyncio")
        self._write("asyncio", getattr(asyncio, "__name__", None))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        finished, only = _named("SUITES_FINISHED"), _named("SUITES_ONLY")
        kept = [item for item in items if item.nodeid not in finished and (not only or item.nodeid in only)]
        dropped = [item for item in items if item not in kept]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = kept

    def pytest_collectreport(self, report):
        if report.failed:
            self._write("end", report.nodeid, "failed", _last_line(report.longreprtext))

    def pytest_runtest_logstart(self, nodeid):
        self._outcome = ("passed", "")
        self._write("start", nodeid)

    def pytest_runtest_logreport(self, report):
        # Set-up, call and tear-down report one after the other; the first that is not "passed" is how the test ended.
        if report.outcome != "passed" and self._outcome[0] == "passed":
            self._outcome = (report.outcome, _last_line(report.longreprtext) if report.failed else "")

    def pytest_runtest_logfinish(self, nodeid):
        self._write("end", nodeid, *self._outcome)

    def pytest_unconfigure(self):
        self._file.close()


def _last_line(text):
    """The line of a failure that names the error: the last that pytest marks with an E, or the last of all."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line[1:] for line in lines if line.startswith("E ")]
    return (marked[:1] or lines[-1:] or [""])[0].strip()


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(os.environ["SUITES_OUTCOMES"]))
