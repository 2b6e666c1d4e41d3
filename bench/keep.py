"""Keeps runs in the repository: what the page of measurements and the README's table are made from.

    python -m bench.keep bench/results/3.13.json ...

Each becomes a file of the same name in `bench/results/kept/`, without the measures that no page shows, and with as many
digits as mean something: a tenth of its size. The samples stay, turn by turn, so that every ratio, spread and
interval is computed from what was measured. `make figures` does this, and what follows from it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.implementations import BEFORE
from bench.results import Results, Sample

KEPT = Path(__file__).resolve().parent / "results" / "kept"
MEASURES = ("ns", "messages_per_second")
DIGITS = 5


def reduced(sample: Sample | None) -> Sample | None:
    """A sample with the measures that are shown; None stays None."""
    if sample is None:
        return None
    return {name: float(f"{sample[name]:.{DIGITS}g}") for name in MEASURES if name in sample}


def keep(path: Path, into: Path = KEPT) -> Path:
    """Keep one run; returns the file that was written."""
    results = Results.from_json(path.read_text())
    # Another build of ferrio is no news to readers.
    results.implementations.pop(BEFORE, None)
    for scenario in results.scenarios:
        scenario.samples.pop(BEFORE, None)
        scenario.missing.pop(BEFORE, None)
        for name, turns in scenario.samples.items():
            scenario.samples[name] = [reduced(sample) for sample in turns]
    into.mkdir(parents=True, exist_ok=True)
    kept = into / path.name
    kept.write_text(results.to_json(indent=None).replace('{"name"', '\n{"name"'))
    return kept


def kept_runs(folder: Path = KEPT) -> dict[str, Results]:
    """Name of the file, without its suffix -> the run; the newest one first."""
    runs = {path.stem: Results.from_json(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return dict(sorted(runs.items(), key=lambda run: str(run[1].environment["date"]), reverse=True))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"kept: {keep(Path(name))}")
