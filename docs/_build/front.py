"""Writes the README's table and picture (`docs/speed.svg`) from the runs that are kept; `make figures` runs it.

They are in the repository, because a README is read where nothing is built. `tests/docs` asks whether they are what the
runs say. Of a row that several runs have, the newest run on `PYTHON` counts.
"""

from __future__ import annotations

import re
from pathlib import Path

from bars import Bar, Row, draw
from figures import ROOT, command, times, when

from bench.keep import kept_runs
from bench.results import Results, ScenarioResult
from bench.table import duration

PYTHON = "3.13"
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "speed.svg"
ROWS = {
    "call_soon_chain": "`call_soon`",
    "create_task_await": "create a task and await it",
    "gather_100": "`gather` of 100, per child",
    "wait_for": "`wait_for`",
    "queue_handoff": "queue, item handed over",
    "streams_read_echo_64_c64": "streams server, 64 B",
    "protocol_echo_64_c64": "protocol server, 64 B",
    "tls_streams_read_echo_1k_c64": "streams server, TLS, 1 KiB",
    "uvicorn_httptools_c64": "uvicorn, a request",
    "spawn_wait": "start a child, wait for it",
    "import_time": "import",
}
"""Scenario -> what the README calls it."""
NAMES = ("stock", "uvloop", "rloop", "ferrio")
START, END = "<!-- bench:start -->", "<!-- bench:end -->"

Found = dict[str, tuple[str, Results, ScenarioResult]]
"""Scenario -> the name of the run that it is from, the run, and the figures."""


def rows_of(runs: dict[str, Results]) -> Found:
    """The README's rows: each from the newest run on `PYTHON` that has it."""
    found: Found = {}
    for name, results in runs.items():
        if str(results.environment["python"]).startswith(PYTHON + "."):
            for scenario in results.scenarios:
                if scenario.name in ROWS and scenario.figure("ferrio"):
                    found.setdefault(scenario.name, (name, results, scenario))
    return {name: found[name] for name in ROWS if name in found}


def table(found: Found) -> str:
    """The README's text between its marks."""
    runs = {name: results for name, results, _ in found.values()}
    lines = ["![How many times as fast as stock asyncio](docs/speed.svg)", ""]
    lines += [f"| | {' | '.join(NAMES)} | vs stock | vs uvloop |", f"|---|{'--:|' * (len(NAMES) + 2)}"]
    for name, (_, _, scenario) in found.items():
        figures = [scenario.figure(column) for column in NAMES]
        cells = [duration(figure).partition(" ±")[0] if figure else "" for figure in figures]
        cells += [times(scenario.ratio("ferrio", rival)) for rival in ("stock", "uvloop")]
        lines.append(f"| {ROWS[name]} | {' | '.join(cells)} |")
    said = "; ".join(f"{when(results)} (`{command(results)}`)" for results in runs.values())
    machine = next(iter(runs.values())).environment
    lines += [
        "",
        f"Python {machine['python']}, {machine['cpu']}, {machine['cpus']} CPUs. Medians, server CPU where there is a "
        f"server with 64 connections: {said}.",
    ]
    return "\n".join(lines)


def picture(found: Found) -> str:
    """The README's picture."""
    rows = []
    for name, (_, _, scenario) in found.items():
        ratios = {column: scenario.ratio(column, "stock") for column in NAMES[1:]}
        bars = [Bar(column, ratio.value, ratio.spread) for column, ratio in ratios.items() if ratio]
        rows.append(Row(ROWS[name].replace("`", ""), bars))
    return (
        draw(rows, label="How many times as fast as stock asyncio", width=640, beside=170, paper="#fff")
        + "\n"
    )


def with_table(readme: str, found: Found) -> str:
    """The README with this table in its place."""
    text, count = re.subn(
        f"(?<={re.escape(START)}\n).*?(?=\n{re.escape(END)})", lambda _: table(found), readme, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the README has {count} places for its table")
    return text


def main(readme: Path = README, drawing: Path = PICTURE) -> None:
    """Write both, if any run has one of the rows."""
    found = rows_of(kept_runs())
    if not found:
        print("no run in bench/results/kept has a row of the README's")
        return
    readme.write_text(with_table(readme.read_text(), found))
    drawing.write_text(picture(found))


if __name__ == "__main__":
    main()
