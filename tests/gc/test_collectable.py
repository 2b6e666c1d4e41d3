"""Every kind of object, put into a cycle and dropped, is found by the collector."""

import functools
import json
import pathlib

import implementation
import pytest
from collectable import CASES
from waiting_cycles import WAITING_CASES

SCRIPT = pathlib.Path(__file__).parent / "collectable.py"


@functools.cache
def verdicts(impl):
    proc = implementation.run(impl, SCRIPT, seconds=120)
    return dict(map(json.loads, proc.stdout.splitlines())), proc.stderr[-3000:]


@pytest.mark.parametrize("name", sorted(CASES | WAITING_CASES))
def test_collected(name, impl):
    died, stderr = verdicts(impl)
    assert name in died, f"it did not get that far:\n{stderr}"
    assert died[name], "the sentinel outlived the collection"
