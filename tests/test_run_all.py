"""The runner of all tests: what it counts, and that a stage which hangs fails without holding the others up."""

import sys
import textwrap

import pytest
from run_all import Count, Stage, of_cargo, of_conformance, of_pytest, run


def stage(program: str, **more: float) -> Stage:
    return Stage("a", "a stage", [sys.executable, "-c", textwrap.dedent(program)], of_pytest, **more)


@pytest.mark.parametrize(
    ("read", "line", "count"),
    [
        (of_cargo, "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured", Count(5, 0, 1)),
        (of_pytest, "3 passed, 1 skipped, 1 xfailed in 0.10s", Count(3, 0, 2, 1)),
        (of_pytest, "== 1 failed, 2 passed, 1 error in 61.00s (0:01:01) ==", Count(2, 2, 0)),
        (of_conformance, "7 passed, 1 failed, 2 expected failures, 3 skipped", Count(7, 1, 5, 2)),
    ],
)
def test_closing_lines(read, line, count):
    assert read(line) == count


def test_a_stage_that_passes():
    assert run(stage("print('2 passed in 0.1s')")) == Count(passed=2)


def test_an_exit_status_is_a_failure():
    assert run(stage("print('2 passed in 0.1s'); raise SystemExit(1)")) == Count(passed=2, failed=1)


def test_nothing_run_is_a_failure():
    assert run(stage("pass")) == Count(failed=1)


def test_a_stage_that_hangs_is_ended_with_what_it_has_started(capsys):
    hanging = """
        import subprocess, sys
        print("3 passed in 0.1s", flush=True)
        subprocess.run([sys.executable, "-c", "import signal; signal.pause()"])
    """
    assert run(stage(hanging, limit=1)) == Count(passed=3, failed=1)
    assert "ended after 1 s" in capsys.readouterr().out
