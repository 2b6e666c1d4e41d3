"""The measured process of an in-process scenario.

`python -m bench.child MODULE SCENARIO IMPLEMENTATION BUDGET`, started by `run.py`.

One process per (scenario, implementation, round), so that no run inherits another's heap, caches or
warmed-up freelists. The garbage collector stays on: collecting what an implementation allocates is part of
its cost.

The scenario is warmed up while the number of operations per repetition is found; then it is repeated until
the time budget (seconds) is spent. The repetitions are cut into a few windows, and the figure is the lowest
of the windows' medians: the median leaves out single interruptions, the lowest window leaves out a busy
neighbour.
"""

from __future__ import annotations

import gc
import json
import sys
from time import perf_counter, process_time

from bench.implementations import become
from bench.scenario import Body, Scenario, load

REPETITION_SECONDS = 0.010
"""Long against the clock's resolution and the loop's entry, short enough for many repetitions in a budget."""
WINDOWS = 4


def _median(values: list[float]) -> float:
    # Not statistics.median: that import pulls in decimal, fractions and random, a larger heap to collect.
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _lowest_window(values: list[float]) -> float:
    size = max(1, len(values) // WINDOWS)
    windows = [values[start : start + size] for start in range(0, len(values), size)]
    # A trailing window shorter than the others would be the noisiest of them and the likeliest to be lowest.
    return min(_median(window) for window in windows if len(window) == size)


async def _operations(body: Body, scenario: Scenario) -> int:
    """Warm up, and find how many operations fill a repetition."""
    if scenario.fixed is not None:
        await body(max(scenario.multiple, scenario.fixed // 20))
        return scenario.fixed
    n = scenario.multiple
    while True:
        started = perf_counter()
        await body(n)
        elapsed = perf_counter() - started
        if elapsed >= REPETITION_SECONDS / 2:
            scaled = int(n * REPETITION_SECONDS / elapsed)
            return max(scenario.multiple, scaled // scenario.multiple * scenario.multiple)
        n *= 2


async def measure(scenario: Scenario, budget: float) -> dict[str, float]:
    """Time the scenario for about `budget` seconds."""
    body = scenario.body
    assert body is not None
    n = await _operations(body, scenario)
    gc.collect()
    walls: list[float] = []
    cpu_started, started = process_time(), perf_counter()
    while True:
        before = perf_counter()
        figure = await body(n)
        now = perf_counter()
        walls.append(figure if scenario.itself and figure is not None else (now - before) / n)
        if now - started >= budget:
            break
    cpu = process_time() - cpu_started
    return {
        "ns": _lowest_window(walls) * 1e9,
        "cpu_ns": cpu / (n * len(walls)) * 1e9,
        "operations": n * len(walls),
        "repetitions": len(walls),
    }


def main(argv: list[str]) -> None:
    """Measure and print one line of JSON."""
    module, name, implementation, budget = argv
    runner = become(implementation)
    scenario = load(module, name)
    with runner() as running:
        print(json.dumps(running.run(measure(scenario, float(budget)))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
