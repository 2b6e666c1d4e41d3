"""The results as Markdown, padded so that the same text reads well in a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.implementations import BEFORE, LIMIT, TLS_NAMES
from bench.results import BESIDE, Figure, Results, ScenarioResult, targets_of

RIVALS = (*(name for name in TLS_NAMES if name != "ferrio"), BEFORE)
Row = list[str]


@dataclass
class Tally:
    """How many targets are met and missed, and of how many of each the figures cannot tell."""

    counts: dict[str, int] = field(default_factory=lambda: {"met": 0, "missed": 0})
    within_noise: dict[str, int] = field(default_factory=lambda: {"met": 0, "missed": 0})
    too_few: int = 0
    """Targets held against so few turns that there is no confidence interval."""

    def mark(self, figure: Figure, goal: float, met: bool) -> str:
        """Count it; returns what the cell says of it."""
        mark = "met" if met else "missed"
        self.counts[mark] += 1
        self.too_few += figure.interval is None
        if not figure.within_noise_of(goal):
            return mark
        self.within_noise[mark] += 1
        return f"{mark}, within noise"

    def __str__(self) -> str:
        counts = ", ".join(
            f"{count} {mark} ({self.within_noise[mark]} within noise)" for mark, count in self.counts.items()
        )
        doubt = f" {self.too_few} of these stand on too few turns to tell noise." if self.too_few else ""
        return f"Targets (least ratio, or most cost, in brackets): {counts}.{doubt}"


def render(results: Results) -> str:
    """The whole report: machine, times, echo servers, what is missing."""
    tally = Tally()
    timed = [s for s in results.scenarios if s.kind != "server"]
    servers = [s for s in results.scenarios if s.kind == "server"]
    parts = [_heading(results)]
    if timed:
        parts += ["## Time per operation", _times(results, timed, tally)]
    if servers:
        parts += ["## Servers under load", _servers(results, servers, tally)]
    if "ferrio" in results.implementations:
        parts.append(str(tally))
    if notes := _notes(results):
        parts += ["## Not measured", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def _heading(results: Results) -> str:
    machine = results.environment
    rounds = f"{results.rounds} round{'s' if results.rounds > 1 else ''} of {results.budget:g} s"
    if any(scenario.kind == "server" for scenario in results.scenarios):
        rounds += f", of servers under load in {results.slices} slice{'s' if results.slices > 1 else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in results.implementations.items())
    return (
        f"# Benchmark of {machine['date'][:10]}\n\n"
        f"Python {machine['python']}, {machine['system']}, {machine['cpu']}, {machine['cpus']} CPUs; "
        f"load average {machine['load_average_at_start']} at the start.\n"
        f"{versions}.\n"
        f"{rounds}. Figures are medians over the rounds, or slices, ± half the interquartile range; ratios are medians "
        "of the rounds' or slices' own ratios; above 1, ferrio is faster. A cost is the CPU time that ferrio takes for "
        "that of the bare epoll server, or of its own protocol row. Within noise: the 95 % confidence interval of the "
        "median has the target in it."
    )


def _times(results: Results, scenarios: list[ScenarioResult], tally: Tally) -> str:
    columns = list(results.implementations)
    rivals = _rivals(results)
    rows = [["scenario", "per", *columns, *[f"ferrio vs {name}" for name in rivals]]]
    for scenario in scenarios:
        cells = [duration(scenario.figure(name)) for name in columns]
        rows.append([scenario.name, scenario.per, *cells, *_ratios(scenario, rivals, "ns", tally)])
    return _markdown(rows, text_columns=2)


def _servers(results: Results, scenarios: list[ScenarioResult], tally: Tally) -> str:
    columns = list(results.implementations)
    rivals = _rivals(results)
    heads = [f"ferrio vs {name}" for name in rivals]
    if any(LIMIT in scenario.samples for scenario in scenarios):
        columns.append(LIMIT)
        heads.append("cost of epoll's")
    heads.append("cost of own protocol's")
    rows = [["scenario", "measure", *columns, *heads]]
    for scenario in scenarios:
        cpu = [duration(scenario.figure(name)) for name in columns]
        rate = [_rate(scenario.figure(name, "messages_per_second")) for name in columns]
        # Targets are marked on CPU time only, the steadier of the two.
        costs = []
        if LIMIT in columns:
            costs.append(_cost(scenario, LIMIT, tally))
        costs.append(_cost(scenario, BESIDE, tally) if scenario.beside else "")
        ratios = _ratios(scenario, rivals, "ns", tally)
        rows.append([scenario.name, f"server CPU per {scenario.per}", *cpu, *ratios, *costs])
        ratios = _ratios(scenario, rivals, "messages_per_second", None)
        rows.append(["", f"{scenario.per}s/s", *rate, *ratios, *[""] * len(costs)])
    return _markdown(rows, text_columns=2)


def _cost(scenario: ScenarioResult, against: str, tally: Tally) -> str:
    cost = scenario.cost(against)
    if cost is None:
        return "n/a"
    cell = f"{cost.value:.2f}×"
    allowed = targets_of(scenario.name).get(against)
    if allowed is not None:
        cell += f" (≤{allowed:g} {tally.mark(cost, allowed, cost.value <= allowed)})"
    return cell


def _rivals(results: Results) -> list[str]:
    if "ferrio" not in results.implementations:
        return []
    return [name for name in RIVALS if name in results.implementations]


def _ratios(scenario: ScenarioResult, rivals: list[str], measure: str, tally: Tally | None) -> list[str]:
    targets = targets_of(scenario.name)
    cells = []
    for rival in rivals:
        ratio = scenario.ratio("ferrio", rival, measure)
        cell = "n/a" if ratio is None else f"{ratio.value:.2f}×"
        target = targets.get(rival)
        if target is not None and ratio is not None and tally is not None:
            cell += f" (≥{target:g} {tally.mark(ratio, target, ratio.value >= target)})"
        cells.append(cell)
    return cells


def duration(figure: Figure | None) -> str:
    """A time in the unit that suits it, with its spread."""
    if figure is None:
        return "n/a"
    value = figure.value
    # Bare interpreters vary by more than a cheap import takes, so a difference may come out below nothing.
    for unit, size in (("ms", 1e6), ("µs", 1e4)):
        if abs(value) >= size:
            scaled = value / (1e6 if unit == "ms" else 1e3)
            return f"{scaled:.1f} {unit}{_spread(figure)}"
    return f"{value:.0f} ns{_spread(figure)}"


def _rate(figure: Figure | None) -> str:
    return "n/a" if figure is None else f"{figure.value:,.0f}{_spread(figure)}"


def _spread(figure: Figure) -> str:
    return "" if figure.spread is None else f" ±{figure.spread:.0%}"


def _notes(results: Results) -> list[str]:
    notes = [f"- {name}: {reason}" for name, reason in results.unavailable.items()]
    for scenario in results.scenarios:
        for name, reason in scenario.missing.items():
            server = f"ferrio's {scenario.beside} beside it" if name == BESIDE else name
            notes.append(f"- {scenario.name}, {server}: {reason}")
    return notes


def _markdown(rows: list[Row], text_columns: int) -> str:
    """A Markdown table: the first `text_columns` to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Row) -> str:
        cells = [
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = [
        "-" * width if column < text_columns else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    return "\n".join([line(rows[0]), line(rule), *[line(row) for row in rows[1:]]])
