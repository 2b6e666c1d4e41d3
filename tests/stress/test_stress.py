"""Threads, signals, forks and random cancellation against the loop; see programs.py for what has to hold."""

import pathlib

import implementation
import pytest
from programs import PROGRAMS

SCRIPT = pathlib.Path(__file__).parent / "programs.py"
SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_holds(name, seed, impl):
    proc = implementation.run(impl, SCRIPT, name, seed, seconds=120)
    assert proc.returncode == 0, f"status {proc.returncode}\n{proc.stdout[-1000:]}{proc.stderr[-4000:]}"
    # What asyncio only logs (a lost exception, a destroyed task) is a failure too.
    assert not proc.stderr, proc.stderr[-4000:]
