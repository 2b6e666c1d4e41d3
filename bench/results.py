"""What was measured, and the figures made of it.

The machine is noisy and its noise drifts, so nothing is compared across rounds. In each round an
implementation's figure is divided by the other's, measured seconds apart; the result is the median of those
ratios. Absolute figures are medians over the rounds, with half the interquartile range as spread.
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
from pathlib import Path
from statistics import median, quantiles
from typing import Any

Sample = dict[str, float]
TARGETS = Path(__file__).resolve().parent / "targets.toml"


@dataclass
class ScenarioResult:
    """The samples of one scenario: per implementation one for each round, `None` where a round failed."""

    name: str
    kind: str
    per: str
    beside: str = ""
    """The scenario under the same load whose cost ferrio's is held against."""
    samples: dict[str, list[Sample | None]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Implementation -> why it has no figure here."""

    def values(self, implementation: str, measure: str = "ns") -> list[float]:
        """The implementation's figures, rounds that failed left out."""
        return [s[measure] for s in self.samples.get(implementation, []) if s is not None and measure in s]

    def figure(self, implementation: str, measure: str = "ns") -> Figure | None:
        """Median and spread; None where nothing was measured."""
        return Figure.of(self.values(implementation, measure))

    def ratio(self, implementation: str, against: str, measure: str = "ns") -> Figure | None:
        """How many times better `implementation` is than `against`, whatever the measure."""
        pairs = zip(self.samples.get(implementation, []), self.samples.get(against, []), strict=False)
        ratios = [b[measure] / a[measure] for a, b in pairs if a is not None and b is not None]
        if measure == "messages_per_second":
            ratios = [1 / ratio for ratio in ratios]
        return Figure.of(ratios)

    def cost(self, against: ScenarioResult, implementation: str) -> Figure | None:
        """How many times as much ferrio takes here as `implementation` takes in `against`."""
        pairs = zip(self.samples.get("ferrio", []), against.samples.get(implementation, []), strict=False)
        return Figure.of([a["ns"] / b["ns"] for a, b in pairs if a is not None and b is not None])


@dataclass(frozen=True)
class Figure:
    """A median over rounds, and half the interquartile range as a fraction of it (None with one round)."""

    value: float
    spread: float | None

    @classmethod
    def of(cls, values: list[float]) -> Figure | None:
        """The figure of `values`; None if there are none."""
        if not values:
            return None
        middle = median(values)
        if len(values) < 2:
            return cls(middle, None)
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(middle, (high - low) / 2 / abs(middle) if middle else None)


@dataclass
class Results:
    """A whole run: the machine, the implementations, the scenarios."""

    environment: dict[str, Any]
    implementations: dict[str, str]
    """Name -> version, in the order of the columns; only those that can run here."""
    unavailable: dict[str, str]
    rounds: int
    budget: float
    scenarios: list[ScenarioResult] = field(default_factory=list)

    def to_json(self) -> str:
        """Everything, raw samples included."""
        document = {"format": 1, **{k: v for k, v in vars(self).items() if k != "scenarios"}}
        document["scenarios"] = [vars(scenario) for scenario in self.scenarios]
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        """The reverse of `to_json`."""
        document = json.loads(text)
        if document.pop("format") != 1:
            raise ValueError("these results were written by another version of the suite")
        scenarios = [ScenarioResult(**scenario) for scenario in document.pop("scenarios")]
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
