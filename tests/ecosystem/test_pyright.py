"""Pyright takes ferrio for asyncio, as mypy does (tests/types, whose programs these are)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parent.parent / "types"


def errors(version, program, tmp_path):
    """The lines of the program that are wrong, with what is said of them."""
    settings = {
        "include": [str(PROGRAMS / program)],
        "pythonVersion": version,
        "typeCheckingMode": "standard",
    }
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--outputjson"),
            *("--pythonpath", sys.executable, "--project", str(config)),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    said = json.loads(done.stdout)
    assert said["summary"]["filesAnalyzed"] == 1, done.stdout + done.stderr
    return {
        found["range"]["start"]["line"] + 1: found["message"]
        for found in said["generalDiagnostics"]
        if found["severity"] == "error"
    }


@pytest.mark.parametrize("version", ["3.11", "3.13", "3.15"])
def test_a_program_of_everything_is_right(version, tmp_path):
    assert errors(version, "program.py", tmp_path) == {}


def test_mistakes_are_found(tmp_path):
    """Types that are `Any` would find none."""
    lines = (PROGRAMS / "mistakes.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert set(errors("3.11", "mistakes.py", tmp_path)) == wrong
