"""The runner of other projects' suites: what it calls a difference, and that no test can stop the others."""

import dataclasses
import sys

import pytest
import run
import servers
from suite import Suite, Unobtainable

TESTS = '''
"""Tests that pass on stock asyncio; on ferrio, some do not."""

import asyncio
import os
import time

import pytest

ON_FERRIO = asyncio.__name__ == "ferrio"


def test_first():
    pass


def test_fails():
    assert not ON_FERRIO, "only here"


@pytest.mark.parametrize("number", [1, 2])
def test_ends_the_process(number):
    if ON_FERRIO:
        os._exit(number)


def test_hangs():
    if ON_FERRIO:
        time.sleep(3600)


def test_skipped():
    if ON_FERRIO:
        pytest.skip("only there")


@pytest.fixture
def broken_end():
    yield
    assert not ON_FERRIO


def test_tear_down(broken_end):
    pass


def test_known():
    assert not ON_FERRIO


def test_mended():
    pass


def test_fails_everywhere():
    raise ValueError


def test_last():
    pass
'''

EXPECTED = """
[[expected]]
test = "own::test_these.py::test_known"
reason = "the test says so"
[[expected]]
test = "own::test_these.py::test_mended"
reason = "it did not pass once"
"""


class Own(Suite):
    """A suite that is here already."""

    def prepare(self):
        (self.sources / "pytest.ini").write_text("[pytest]\n")

    @property
    def sources(self):
        return self.version

    @property
    def python(self):
        return sys.executable


@pytest.fixture
def compared(tmp_path, monkeypatch):
    """`compared(text)` runs these tests on both; returns what came of it."""
    monkeypatch.setattr(run, "WORK", tmp_path)
    # Plugins that the ecosystem's packages bring with them (looptime's) have no part in these tests.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    # Far longer than one of these tests takes; only the one that hangs waits for it.
    monkeypatch.setattr(run, "PATIENCE", 10)

    def compared(text):
        (tmp_path / "test_these.py").write_text(text)
        (tmp_path / "expectations.toml").write_text(EXPECTED)
        suite = Own("own", tmp_path, "pypi", [], ["test_these.py"])
        return run.compare(suite, run.Expectations(tmp_path / "expectations.toml"))

    return compared


def names(result):
    return [name.partition("::")[2] for name in result]


def test_differences(compared):
    result = compared(TESTS)
    assert names(result.failed) == [
        "test_fails",
        "test_ends_the_process[1]",
        "test_ends_the_process[2]",
        "test_hangs",
        "test_skipped",
        "test_tear_down",
    ]
    assert [result.why(name) for name in result.failed] == [
        "AssertionError: only here",
        "ends its process with status 1",
        "ends its process with status 2",
        "hangs",
        "skipped",
        "assert not True",
    ]
    assert names(result.expected) == ["test_known"]
    assert names(result.wrongly_expected) == ["test_mended"]
    # The third is the end of the process.
    assert (result.passed, result.other, result.unsteady) == (3, 1, [])


def test_the_end_of_the_process(compared):
    result = compared(
        "import asyncio, atexit, os\nif asyncio.__name__ == 'ferrio': atexit.register(os._exit, 70)\n"
        "def test_a(): pass\n"
    )
    assert result.failed == [run.PROCESS] and result.passed == 1
    assert result.why(run.PROCESS) == "ends its process with status 70"


def test_a_file_that_is_not_imported(compared):
    result = compared(
        "import asyncio\nassert asyncio.__name__ != 'ferrio'\ndef test_a(): pass\ndef test_b(): pass\n"
    )
    assert names(result.failed) == ["test_a", "test_b"]
    assert {result.why(name) for name in result.failed} == {"AssertionError: assert 'ferrio' != 'ferrio'"}


def test_what_fails_alone_on_stock_is_not_steady(compared):
    result = compared(
        "import asyncio\nseen = []\ndef test_a(): seen.append(1)\n"
        "def test_b(): assert seen and asyncio.__name__ != 'ferrio'\n"
    )
    assert (names(result.unsteady), result.failed, result.passed) == (["test_b"], [], 2)


def test_the_server_of_a_suite(monkeypatch):
    stopped = []

    class Pretended:
        needs = ()
        port = 7

        def stop(self):
            stopped.append(self)

    monkeypatch.setattr(servers, "Pretended", Pretended, raising=False)
    suite = Own("own", "1", "pypi", [], [], ["--port={server.port}"])
    with suite.served() as got:
        assert got == (["--port={server.port}"], {})
    suite = dataclasses.replace(suite, server="Pretended", environment={"PORT": "{server.port}"})
    with suite.served() as got:
        assert got == (["--port=7"], {"PORT": "7"}) and not stopped
    assert len(stopped) == 1
    Pretended.needs = ("no-such-program",)
    with pytest.raises(Unobtainable, match="no-such-program"), suite.served():
        raise AssertionError("its tests would run")


def test_the_table():
    suites = run.all_suites()
    assert len({suite.name for suite in suites}) == len(suites)
    for suite in suites:
        assert all(dataclasses.asdict(suite)[key] for key in ("version", "source", "needs", "tests"))
        assert not suite.server or issubclass(getattr(servers, suite.server), servers.Server)
