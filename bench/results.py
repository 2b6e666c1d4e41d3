"""What was measured, and the figures made of it.

The machine is noisy and its noise drifts, so nothing is compared across turns. A turn is a round, or of servers
under load a slice of one. In each turn an implementation's figure is divided by the other's, measured seconds
apart or less; the result is the median of those ratios. Absolute figures are medians over the turns. Spread is half
the interquartile range, and says how noisy the machine was. How far the median itself may be off is said by
its 95 % confidence interval.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from math import comb
from pathlib import Path
from statistics import median, quantiles
from typing import Any

Sample = dict[str, float]
TARGETS = Path(__file__).resolve().parent / "targets.toml"
BESIDE = "beside"
"""Among a scenario's samples: ferrio's server of the scenario that it is held against, in the same slices."""
CONFIDENCE = 0.95


@dataclass
class ScenarioResult:
    """The samples of one scenario: per implementation one for each turn, `None` where it failed.

    Those of servers under load name their `round`, their `slice` of it, and as what their `order` in that turn was.
    """

    name: str
    kind: str
    per: str
    beside: str = ""
    """The scenario under the same load whose cost ferrio's is held against."""
    samples: dict[str, list[Sample | None]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Implementation -> why it has no figure here."""

    def values(self, implementation: str, measure: str = "ns") -> list[float]:
        """The implementation's figures, turns that failed left out."""
        return [s[measure] for s in self._turns(implementation) if s is not None and measure in s]

    def _turns(self, implementation: str) -> list[Sample | None]:
        # A server that failed after some slices has samples, but no figure: nobody knows what was wrong in those.
        if self.kind == "server" and implementation in self.missing:
            return []
        return self.samples.get(implementation, [])

    def figure(self, implementation: str, measure: str = "ns") -> Figure | None:
        """Median and spread; None where nothing was measured."""
        return Figure.of(self.values(implementation, measure))

    def ratio(self, implementation: str, against: str, measure: str = "ns") -> Figure | None:
        """How many times better `implementation` is than `against`, whatever the measure."""
        pairs = zip(self._turns(implementation), self._turns(against), strict=False)
        ratios = [b[measure] / a[measure] for a, b in pairs if a is not None and b is not None]
        if measure == "messages_per_second":
            ratios = [1 / ratio for ratio in ratios]
        return Figure.of(ratios)

    def cost(self, against: str) -> Figure | None:
        """How many times as much ferrio takes here as `against`, which is `LIMIT` or `BESIDE`."""
        return self.ratio(against, "ferrio")


@dataclass(frozen=True)
class Figure:
    """A median over turns."""

    value: float
    spread: float | None
    """Half the interquartile range as a fraction of the median; None with one turn."""
    interval: tuple[float, float] | None
    """The median's confidence interval; None with too few turns to have one."""

    @classmethod
    def of(cls, values: list[float]) -> Figure | None:
        """The figure of `values`; None if there are none."""
        if not values:
            return None
        middle = median(values)
        if len(values) < 2:
            return cls(middle, None, None)
        low, _, high = quantiles(values, n=4, method="inclusive")
        spread = (high - low) / 2 / abs(middle) if middle else None
        return cls(middle, spread, median_interval(values))

    def within_noise_of(self, goal: float) -> bool:
        """Whether the median may as well be on the other side of `goal`, as far as can be told."""
        return self.interval is not None and self.interval[0] <= goal <= self.interval[1]


def median_interval(values: list[float]) -> tuple[float, float] | None:
    """The confidence interval of the median, or None if there are too few values for one.

    By order statistics, which take nothing for granted about the distribution: each value is above the true median
    with a probability of 1/2, so how many are is binomial. It is the narrowest interval from the k-th lowest to
    the k-th highest value that has the median in it with a probability of at least `CONFIDENCE`.
    """
    count = len(values)
    rank = 0  # k
    outside = 2 / 2**count  # the probability that fewer than k + 1 values are on one side of the true median
    while outside <= 1 - CONFIDENCE:
        rank += 1
        outside += 2 * comb(count, rank) / 2**count
    if rank == 0:
        return None
    ordered = sorted(values)
    return ordered[rank - 1], ordered[-rank]


@dataclass
class Results:
    """A whole run: the machine, the implementations, the scenarios."""

    environment: dict[str, Any]
    implementations: dict[str, str]
    """Name -> version, in the order of the columns; only those that can run here."""
    unavailable: dict[str, str]
    rounds: int
    slices: int
    """In each round, the turns of servers under load."""
    budget: float
    scenarios: list[ScenarioResult] = field(default_factory=list)

    def to_json(self, indent: int | None = 1) -> str:
        """Everything, raw samples included."""
        document = {"format": 2, **{k: v for k, v in vars(self).items() if k != "scenarios"}}
        document["scenarios"] = [vars(scenario) for scenario in self.scenarios]
        return json.dumps(document, indent=indent) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        """The reverse of `to_json`."""
        document = json.loads(text)
        written = document.pop("format")
        if written not in (1, 2):
            raise ValueError("these results were written by another version of the suite")
        scenarios = [ScenarioResult(**scenario) for scenario in document.pop("scenarios")]
        if written == 1:  # one slice, and beside a row was the other row's own sample of the round
            document["slices"] = 1
            named = {scenario.name: scenario for scenario in scenarios}
            for scenario in scenarios:
                if scenario.beside in named:
                    scenario.samples[BESIDE] = named[scenario.beside].samples.get("ferrio", [])
        return cls(**document, scenarios=scenarios)


@functools.cache
def _targets() -> dict[str, dict[str, float]]:
    with TARGETS.open("rb") as file:
        return tomllib.load(file)


def targets_of(scenario: str) -> dict[str, float]:
    """Implementation -> how many times faster than it ferrio is to be; of all patterns that match, the last wins.

    `epoll` and `beside` say instead how many times as much CPU time ferrio may take.
    """
    found: dict[str, float] = {}
    for pattern, targets in _targets().items():
        if fnmatchcase(scenario, pattern):
            found |= targets
    return found


def describe_machine() -> dict[str, Any]:
    """What a reader needs to know to judge the figures."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "unknown")
