"""Command line of the benchmark suite: what to measure, round by round, and where the results go.

This process measures nothing itself and never becomes an implementation; every figure comes from processes
that it starts. The rounds are the outer loop and the implementations the inner one, in an order that turns
from round to round, so that a slow minute of the machine falls on all of them alike; `slices.py` says how
those of servers under load are made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a file, `python bench/run.py`: the package's parent is not on the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import cold, slices
from bench.implementations import BEFORE, LIMIT, NAMES, ROOT, TLS_NAMES, last_line, probe, python_environment
from bench.results import Results, Sample, ScenarioResult, describe_machine
from bench.scenario import Scenario, select

BUDGET_SECONDS = {"quick": 0.1, "full": 0.4}
ROUNDS = {"quick": 3, "full": 5}
SLICES = {"quick": 2, "full": 4}
SLACK_SECONDS = 120
"""A measured process that takes this much longer than its budget hangs."""


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure ferrio against other loops.")
    parser.add_argument("--quick", action="store_true", help="0.1 s per run and 3 rounds, not 0.4 s and 5")
    parser.add_argument(
        "--only", metavar="GLOB", action="append", default=[], help="only these scenarios (repeatable)"
    )
    parser.add_argument("--network", action="store_true", help="only the servers under load")
    parser.add_argument("--tls", action="store_true", help="only the servers with TLS")
    parser.add_argument(
        "--impl",
        default="",
        help="comma-separated implementations (default: all, where they are installed)",
    )
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="an earlier build too: the python/ folder of its checkout"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds over everything")
    parser.add_argument(
        "--slices",
        type=int,
        metavar="N",
        help="turns per round in which each server is loaded (default: 4; 2 with --quick)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all samples")
    parser.add_argument(
        "--table", type=Path, metavar="OUT.md", help="write the table, which is printed in any case"
    )
    parser.add_argument("--plot", type=Path, metavar="OUT.svg", help="write the plot, and a PNG beside it")
    parser.add_argument(
        "--from-json", type=Path, metavar="IN", help="measure nothing, show these results again"
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    options = parser.parse_args(argv)
    names = (*(TLS_NAMES if options.tls else NAMES), LIMIT)
    if options.before is not None:
        if not (options.before / "ferrio" / "__init__.py").exists():
            parser.error(f"--before: there is no ferrio in {options.before}")
        os.environ["FERRIO_BEFORE"] = str(options.before.resolve())
        names = (BEFORE, *names)
    options.impl = [name.strip() for name in options.impl.split(",") if name.strip()] or list(names)
    if unknown := [name for name in options.impl if name not in names]:
        known = ", ".join(names)
        parser.error(f"no such implementation: {', '.join(unknown)} (there are {known})")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.slices is not None and options.slices < 1:
        parser.error("--slices must be at least 1")
    return options


def measure_in_process(scenario: Scenario, implementation: str, budget: float) -> Sample:
    """Run `bench.child` for one figure. Raises RuntimeError with the reason if it fails."""
    command = [
        sys.executable,
        "-m",
        "bench.child",
        scenario.module,
        scenario.name,
        implementation,
        str(budget),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=python_environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=SLACK_SECONDS + budget,
    )
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr) or f"exit status {done.returncode}")
    sample: Sample = json.loads(last_line(done.stdout))
    return sample


MEASURE = {"in-process": measure_in_process, "cold": cold.measure}


def measure(scenario: Scenario, implementation: str, budget: float, result: ScenarioResult) -> Sample | None:
    """One sample, or None with the reason noted in `result`."""
    try:
        return MEASURE[scenario.kind](scenario, implementation, budget)
    except subprocess.TimeoutExpired:
        result.missing[implementation] = "timed out"
    except (RuntimeError, OSError, ValueError) as error:
        result.missing[implementation] = str(error)
    return None


def run(
    scenarios: list[Scenario], implementations: list[str], rounds: int, slices_per_round: int, budget: float
) -> Results:
    """Measure every scenario on every implementation, `rounds` times."""
    found = {name: probe(name) for name in implementations if name != LIMIT}
    results = Results(
        environment=describe_machine(),
        implementations={name: seen.version for name, seen in found.items() if seen.version},
        unavailable={name: seen.reason for name, seen in found.items() if not seen.version},
        rounds=rounds,
        slices=slices_per_round,
        budget=budget,
        scenarios=[ScenarioResult(s.name, s.kind, s.per, s.beside) for s in scenarios],
    )
    for name, reason in results.unavailable.items():
        progress(f"{name} is left out: {reason}")
    for turn in range(rounds):
        for index, (scenario, result) in enumerate(zip(scenarios, results.scenarios, strict=True)):
            # The bare server knows no HTTP.
            limited = scenario.kind == "server" and scenario.load != "http" and LIMIT in implementations
            columns = [*results.implementations, *([LIMIT] if limited else [])]
            shift = (turn + index) % len(columns) if columns else 0
            columns = columns[shift:] + columns[:shift]
            shown_as = f"round {turn + 1}/{rounds}  {scenario.name:26}"
            if scenario.kind == "server":
                medians = slices.measure(scenario, columns, budget, slices_per_round, turn, result)
                for subject in slices.subjects_of(scenario, columns):
                    progress(f"{shown_as} {subject:8} {shown(medians.get(subject), result, subject)}")
                continue
            for implementation in columns:
                samples = result.samples.setdefault(implementation, [])
                failed_at_first = turn > 0 and samples[0] is None
                sample = None if failed_at_first else measure(scenario, implementation, budget, result)
                samples.append(sample)
                figure = shown(sample["ns"] if sample else None, result, implementation)
                progress(f"{shown_as} {implementation:8} {figure}")
    return results


def shown(ns: float | None, result: ScenarioResult, subject: str) -> str:
    """A figure on its way, or why there is none."""
    return f"n/a: {result.missing[subject]}" if ns is None else f"{ns:12,.0f} ns"


def progress(line: str) -> None:
    """Report progress; standard output is for the table."""
    print(line, file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the suite; returns the exit status."""
    options = arguments(argv)
    mode = "quick" if options.quick else "full"
    scenarios = [
        scenario
        for scenario in select(options.only)
        if scenario.is_tls == options.tls and (scenario.kind == "server" or not options.network)
    ]
    if options.list:
        for scenario in scenarios:
            print(f"{scenario.name:26} {scenario.kind:12} per {scenario.per}")
        return 0
    if options.from_json is not None:
        results = Results.from_json(options.from_json.read_text())
    elif scenarios:
        rounds, slices_per_round = options.rounds or ROUNDS[mode], options.slices or SLICES[mode]
        results = run(scenarios, options.impl, rounds, slices_per_round, BUDGET_SECONDS[mode])
    else:
        print("no scenario matches", *options.only, file=sys.stderr)
        return 2
    if options.json is not None:
        write(options.json, results.to_json())

    from bench.table import render

    table = render(results)
    print(table)
    if options.table is not None:
        write(options.table, table)
    if options.plot is not None:
        from bench.plot import draw  # needs matplotlib, which nothing else here does

        options.plot.parent.mkdir(parents=True, exist_ok=True)
        draw(results, options.plot)
    return 0 if any(r.samples for r in results.scenarios) else 1


def write(path: Path, text: str) -> None:
    """Write a file, with the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
