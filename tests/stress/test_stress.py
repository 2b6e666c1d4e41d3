"""Threads, signals, forks and random cancellation against the loop; see programs.py for what has to hold."""

import pathlib
import subprocess

import implementation
import pytest
from programs import PROGRAMS

SCRIPT = pathlib.Path(__file__).parent / "programs.py"
SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_holds(name, seed, impl):
    proc = subprocess.run(
        implementation.command(impl, SCRIPT, name, seed),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert proc.returncode == 0, f"status {proc.returncode}\n{proc.stdout[-1000:]}{proc.stderr[-4000:]}"
    # What asyncio only logs (a lost exception, a destroyed task) is a failure too.
    assert not proc.stderr, proc.stderr[-4000:]
