"""The stubs: type checkers take ferrio for asyncio, and the package is what the stubs say."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SECONDS = 280


def run(*command):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=HERE,
    )
    return done.returncode, done.stdout + done.stderr


def mypy(version, program, tmp_path):
    return run(
        "mypy",
        "--strict",
        "--config-file",
        "",
        "--python-version",
        version,
        "--cache-dir",
        str(tmp_path),
        program,
    )


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.15"])
def test_a_program_of_everything_is_right_to_mypy(version, tmp_path):
    status, said = mypy(version, "program.py", tmp_path)
    assert status == 0, said


def test_mistakes_are_found(tmp_path):
    """Types that are `Any` would find none."""
    status, said = mypy("3.11", "mistakes.py", tmp_path)
    expected = [
        number
        for number, line in enumerate((HERE / "mistakes.py").read_text().splitlines(), 1)
        if line.endswith("# wrong")
    ]
    found = sorted({int(line.split(":")[1]) for line in said.splitlines() if ": error:" in line})
    assert (status, found) == (1, expected), said


def test_the_package_is_what_the_stubs_say():
    allowed = HERE / "allowed.txt"
    status, said = run(
        "mypy.stubtest", "ferrio", "--concise", "--ignore-missing-stub", "--allowlist", str(allowed)
    )
    assert status == 0, said
