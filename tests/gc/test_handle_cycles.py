"""A handle in a cycle with what it calls and with its loop is found by the collector, however they ended."""

import functools
import json
import pathlib

import implementation
import pytest
from handle_cycles import NAMES

SCRIPT = pathlib.Path(__file__).parent / "handle_cycles.py"


@functools.cache
def verdicts(impl):
    proc = implementation.run(impl, SCRIPT, seconds=120)
    return dict(map(json.loads, proc.stdout.splitlines())), proc.stderr[-3000:]


@pytest.mark.parametrize("name", NAMES)
def test_collected(name, impl):
    died, stderr = verdicts(impl)
    assert name in died, f"it did not get that far:\n{stderr}"
    assert died[name], "the sentinel outlived the collection"
