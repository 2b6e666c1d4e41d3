"""What the page of measurements shows of the runs that are kept (`bench/results/kept`): plots, tables, and where ferrio
does not lead. Nothing in it is written by hand, so that the page is what the runs say."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from bars import Bar, Row, draw  # noqa: E402 - beside this file

from bench.implementations import LIMIT  # noqa: E402 - found by the path above
from bench.results import Figure, Results, ScenarioResult  # noqa: E402
from bench.run import BUDGET_SECONDS, ROUNDS, SLICES  # noqa: E402
from bench.table import duration  # noqa: E402

GROUPS = (
    ("TLS: protocols", "tls_protocol_echo_*"),
    ("TLS: buffered protocols", "tls_buffered_echo_*"),
    ("TLS: streams, read", "tls_streams_read_echo_*"),
    ("TLS: streams, readline", "tls_streams_readline_echo_*"),
    ("TLS: handshakes", "tls_handshake_*"),
    ("TLS: bulk", "tls_*_bulk_*"),
    ("Protocols", "protocol_echo_*"),
    ("Buffered protocols", "buffered_echo_*"),
    ("Streams, read", "streams_read_echo_*"),
    ("Streams, readline", "streams_readline_echo_*"),
    ("sock_recv and sock_sendall", "sock_echo_*"),
    ("Datagrams", "udp_echo_*"),
    ("Connections that live for one message", "*_connect_*"),
    ("Bulk", "*_bulk_*"),
    ("HTTP servers", "uvicorn_*"),
    ("HTTP servers", "aiohttp_*"),
    ("Child processes", "spawn_*"),
    ("Child processes", "pipe_*"),
    ("Queues and locks", "queue_*"),
    ("Queues and locks", "*lock_*contended"),
    ("Queues and locks", "semaphore_*"),
    ("Queues and locks", "event_*"),
    ("Queues and locks", "condition_*"),
    ("Import", "import_*"),
    ("Callbacks, tasks, timers", "*"),
)
"""Heading -> pattern of the scenarios below it; the first that matches counts."""
ORDER = ("Callbacks, tasks, timers", "Queues and locks")
"""Groups that come first; the others follow in the order of the scenarios."""
NO_BREAK = "\N{NON-BREAKING HYPHEN}"
OURS = ("ferrio", "ferrio-portable")


def group_of(name: str) -> str:
    """The heading that a scenario stands under."""
    return next(title for title, pattern in GROUPS if fnmatchcase(name, pattern))


def title_of(name: str) -> str:
    """A scenario's name as a reader likes it: `streams_read_echo_64k_c1` is "streams read echo, 64 KiB, 1 connection"."""
    found = re.fullmatch(r"(.+?)(?:_(\d+)(k?))?_c(\d+)", name)
    if not found:
        return name.replace("_", " ")
    what, size, kilo, connections = found.groups()
    parts = [what.replace("_", " ")]
    if size:
        parts.append(f"{size} {'KiB' if kilo else 'B'}")
    parts.append("1 connection" if connections == "1" else f"{connections} connections")
    return ", ".join(parts)


def times(figure: Figure | None) -> str:
    """A ratio in a table."""
    return (
        "" if figure is None else f"{figure.value:.1f}×" if figure.value >= 9.95 else f"{figure.value:.2f}×"
    )


def rivals(results: Results) -> list[str]:
    """What ferrio is held against in a run."""
    return [name for name in results.implementations if name not in OURS]


def table(rows: Sequence[Sequence[str]], text_columns: int = 2) -> list[str]:
    """Lines of a Markdown table; figures stand to the right."""
    rule = ["---" if column < text_columns else "--:" for column in range(len(rows[0]))]
    return [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]


def rows_of(results: Results, scenarios: Sequence[ScenarioResult]) -> list[list[str]]:
    """The table of a group: a figure with its spread per implementation, and ferrio's ratios."""
    columns = list(results.implementations)
    if any(LIMIT in scenario.samples for scenario in scenarios):
        columns.append(LIMIT)
    against = rivals(results) if "ferrio" in results.implementations else []
    rows = [["", "per", *columns, *(f"vs {name}" for name in against)]]
    for scenario in scenarios:
        figures = [scenario.figure(name) for name in columns]
        cells = [duration(figure) if figure else "" for figure in figures]
        ratios = [marked(scenario.ratio("ferrio", name)) for name in against]
        rows.append([title_of(scenario.name), scenario.per, *cells, *ratios])
    return rows


def marked(ratio: Figure | None) -> str:
    """A ratio; bold where ferrio is behind."""
    return f"**{times(ratio)}**" if ratio is not None and ratio.value < 1 else times(ratio)


def plot(results: Results, scenarios: Sequence[ScenarioResult], title: str) -> str:
    """The plot of a group; empty where nothing was measured beside stock."""
    rows = []
    for scenario in scenarios:
        found = {name: scenario.ratio(name, "stock") for name in results.implementations if name != "stock"}
        bars = [Bar(name, f.value, f.spread) for name, f in found.items() if f is not None and f.value > 0]
        if bars:
            rows.append(Row(title_of(scenario.name), bars))
    if not rows:
        return ""
    # In a block of its own, or Markdown would look for its own signs within.
    return f'<div class="plot">{draw(rows, label=f"{title}: how many times as fast as stock asyncio")}</div>'


def command(results: Results) -> str:
    """The command that repeats a run."""
    names = [scenario.name for scenario in results.scenarios]
    target = "bench"
    if all(scenario.kind == "server" for scenario in results.scenarios):
        target = "bench-tls" if all(name.startswith("tls_") for name in names) else "bench-net"
    mode = "quick" if results.budget == BUDGET_SECONDS["quick"] else "full"
    options = ["--quick"] if mode == "quick" else []
    options += [f"--rounds {results.rounds}"] if results.rounds != ROUNDS[mode] else []
    options += [f"--slices {results.slices}"] if results.slices != SLICES[mode] else []
    version = ".".join(str(results.environment["python"]).split(".")[:2])
    with_options = f' BENCH="{" ".join(options)}"' if options else ""
    return f"make PYTHON=python{version}{with_options} {target}"


def when(results: Results) -> str:
    """The date of a run, to the minute."""
    return str(results.environment["date"])[:16].replace("T", " ") + " UTC"


def run_of(name: str, results: Results) -> list[str]:
    """A run: machine, versions, how to repeat it, and each group's plot and table."""
    machine = results.environment
    versions = ", ".join(f"{known} {version}" for known, version in results.implementations.items())
    lines = [f"## Python {machine['python']}, {when(results)} {{#run-{name.replace('.', '-')}}}", ""]
    lines += [f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['system']}; load average "]
    lines[-1] += f"{machine['load_average_at_start']} at the start. {versions}."
    if commit := machine.get("commit"):
        lines[-1] += f" ferrio's commit: `{commit}`."
    slices = f", servers under load in {results.slices} slices each" if _loaded(results) else ""
    lines += ["", f"{results.rounds} rounds of {results.budget:g} s{slices}. To repeat it:", ""]
    lines += ["```sh", command(results), "```", ""]
    groups: dict[str, list[ScenarioResult]] = {title: [] for title in ORDER}
    for scenario in results.scenarios:
        groups.setdefault(group_of(scenario.name), []).append(scenario)
    for title, scenarios in groups.items():
        if not scenarios:
            continue
        heading = title if scenarios[0].kind != "server" else f"{title} (server CPU)"
        lines += [f"### {heading} {{#run-{name.replace('.', '-')}-{slug(title)}}}", ""]
        lines += [plot(results, scenarios, title), "", *table(rows_of(results, scenarios)), ""]
    if missing := _missing(results):
        lines += ["Not measured:", "", *missing, ""]
    return lines


def slug(title: str) -> str:
    """A heading as part of an anchor."""
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _loaded(results: Results) -> bool:
    return any(scenario.kind == "server" for scenario in results.scenarios)


def _missing(results: Results) -> list[str]:
    lines = [f"- {name}: {reason}" for name, reason in results.unavailable.items()]
    for scenario in results.scenarios:
        known = {name: why for name, why in scenario.missing.items() if name in results.implementations}
        lines += [f"- {title_of(scenario.name)}, {name}: {why}" for name, why in known.items()]
    return lines


def behind(runs: dict[str, Results]) -> list[list[str]]:
    """Every row in which something else was faster, the largest distance first."""
    found = []
    for results in runs.values():
        for scenario in results.scenarios:
            for name in rivals(results):
                ratio = scenario.ratio("ferrio", name)
                if ratio is None or ratio.value >= 1:
                    continue
                doubt = "cannot be told apart" if ratio.within_noise_of(1) else "yes"
                if ratio.interval is None:
                    doubt = "too few turns"
                ours, theirs = scenario.figure("ferrio"), scenario.figure(name)
                date = when(results)[:10].replace("-", NO_BREAK)
                cells = [title_of(scenario.name), f"{results.environment['python']}, {date}"]
                cells += [name, duration(theirs), duration(ours), times(ratio), doubt]
                found.append((ratio.value, cells))
    return [cells for _, cells in sorted(found)]


def described() -> dict[str, str]:
    """Scenario, or the part of its name before size and connections -> its docstring's first paragraph."""
    found = {}
    for file in sorted((ROOT / "bench").glob("scenarios_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.AsyncFunctionDef) and node.decorator_list:
                text = ast.get_docstring(node) or ""
                found[node.name] = " ".join(text.split("\n\n")[0].split())
    return found


def what_rows_do(runs: dict[str, Results]) -> list[str]:
    """A table of what one operation of each scenario is, in its own words."""
    measured = [scenario.name for results in runs.values() for scenario in results.scenarios]
    rows = [["row", "what is done"]]
    for name, text in described().items():
        if any(known == name or re.fullmatch(rf"{name}(_\d+k?)?_c\d+", known) for known in measured):
            rows.append([name.replace("_", " "), text])
    return table(rows, text_columns=2) if len(rows) > 1 else []


def page(runs: dict[str, Results]) -> str:
    """The part of the page that is made of the runs."""
    if not runs:
        return (
            "No run is kept in `bench/results/kept` at the moment. The tables of earlier runs, as text, are in "
            "`bench/results/`.\n"
        )
    lines = ["## Where ferrio does not lead", ""]
    lost = behind(runs)
    count = sum(len(results.scenarios) for results in runs.values())
    if lost:
        lines += [
            f"Of {count} rows, these have something that was faster. The last column says whether the figures show it: "
            "“cannot be told apart” means that the 95 % interval of the ratio's median has 1 in it; with fewer than six "
            "turns there is no such interval.",
            "",
            *table([["row", "Python, date", "faster", "its figure", "ferrio", "ratio", "sure"], *lost], 3),
        ]
    else:
        lines += [f"In none of the {count} rows below was anything faster than ferrio."]
    lines.append("")
    for name, results in runs.items():
        lines += run_of(name, results)
    if rows := what_rows_do(runs):
        lines += ["## What the rows do", "", *rows, ""]
    return "\n".join(lines)
