"""Loops written in Python on asyncio's own parts: its queue, its timers, its selector, its private attributes."""

import pytest
from program import PROGRAMS


@pytest.mark.parametrize(
    "program",
    ["nested_loops", "compacted_time", "virtual_clock", "trio_guest", "input_hook", "no_real_time"],
)
def test_it_runs_as_on_stock(report, program):
    assert report(PROGRAMS / f"{program}.py")
