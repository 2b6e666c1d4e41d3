"""The results as one picture: for each scenario, how many times faster than stock asyncio, on a log scale.

A log scale, because a ratio of 2 and one of 1/2 are equally far from "no difference". Drawn without a
window, as SVG for pages and PNG for everything else.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as SavedFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.results import Figure, Results, ScenarioResult, targets_of

COLOURS = {
    "uvloop": "#7c93b2",
    "rloop": "#c3b49a",
    "zuvloop": "#8fae8b",
    "rsloop": "#b79ac3",
    "ferrio": "#c8451b",
}
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
BAND = 0.8
"""The part of a scenario's row that its bars fill."""
TARGET_COLOUR = "#1d1d1f"
LABEL_WIDTH = 1.3
"""The width of a number at a bar's end, as a factor on the log scale."""


Row = tuple[ScenarioResult, dict[str, Figure]]
"""A scenario, and how many times faster than stock each implementation is there."""


def draw(results: Results, path: Path) -> None:
    """Write the plot to `path` (SVG) and to the same name with `.png`."""
    rivals = [name for name in COLOURS if name in results.implementations]
    rows = _rows(results, rivals)
    if not rows or not rivals:
        raise ValueError("nothing to plot: no scenario was measured on stock and on another implementation")
    size = (10, 1.9 + 0.115 * len(rows) * (len(rivals) + 1))
    figure, axes = pyplot.subplots(figsize=size, layout="constrained")
    _bars(axes, rows, rivals)
    _axes(axes, rows)
    _legend(figure, rows, rivals)
    machine = results.environment
    axes.set_title(
        "Speed relative to stock asyncio (longer is faster)", loc="left", fontsize=13, pad=22, weight="bold"
    )
    axes.set_xlabel(
        f"times the speed of stock asyncio, log scale\n"
        f"Python {machine['python']}, {machine['cpu']}, {machine['date'][:10]}; "
        f"median of {results.rounds} rounds{_slices(results)}, whiskers: interquartile range",
        fontsize=8.5,
        color="#555555",
    )
    for suffix in (".svg", ".png"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    pyplot.close(figure)


def _slices(results: Results) -> str:
    loaded = any(scenario.kind == "server" for scenario in results.scenarios)
    return f" (servers under load: of {results.slices} slices each)" if loaded else ""


def _rows(results: Results, rivals: list[str]) -> list[Row]:
    rows = []
    for scenario in results.scenarios:
        found = {name: scenario.ratio(name, "stock") for name in rivals}
        ratios = {name: ratio for name, ratio in found.items() if ratio is not None and ratio.value > 0}
        if ratios:
            rows.append((scenario, ratios))
    return rows


def _bars(axes: Axes, rows: list[Row], rivals: list[str]) -> None:
    height = BAND / len(rivals)
    for row, (scenario, ratios) in enumerate(rows):
        for position, name in enumerate(rivals):
            ratio = ratios.get(name)
            centre = row - BAND / 2 + height * (position + 0.5)
            if ratio is None:
                axes.text(1.02, centre, f"{name}: n/a", va="center", fontsize=6.5, color="#888888")
                continue
            value = ratio.value
            error = value * (ratio.spread or 0.0)
            target = targets_of(scenario.name).get("stock") if name == "ferrio" else None
            axes.barh(
                centre,
                value - 1,
                left=1,
                height=height * 0.94,
                color=COLOURS[name],
                xerr=error or None,
                error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
                zorder=2,
            )
            edge = (value + error) * 1.03 if value >= 1 else (value - error) / 1.03
            if target is not None:
                span = [centre - height * 0.62, centre + height * 0.62]
                axes.plot([target, target], span, color=TARGET_COLOUR, lw=2, zorder=3)
                if value < target < value * LABEL_WIDTH:
                    edge = target * 1.03  # or the number would stand on the target's mark
            axes.text(
                edge,
                centre,
                f"{value:.1f}×" if value >= 1.95 else f"{value:.2f}×",
                va="center",
                ha="left" if value >= 1 else "right",
                fontsize=8 if name == "ferrio" else 6.5,
                weight="bold" if name == "ferrio" else "normal",
                color="#222222" if name == "ferrio" else "#666666",
                zorder=4,
            )


def _axes(axes: Axes, rows: list[Row]) -> None:
    axes.set_xscale("log")
    values = [ratio.value * (1 + (ratio.spread or 0.0)) for _, ratios in rows for ratio in ratios.values()]
    # Room for the numbers at the bars' ends.
    axes.set_xlim(min(0.8, *values) * 0.75, max(2.0, *values) * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.xaxis.grid(True, color="#e3e3e3", zorder=0)
    axes.tick_params(top=True, labeltop=True, length=0)
    axes.axvline(1, color="#444444", lw=1.1, zorder=3)
    names = [scenario.name for scenario, _ in rows]
    axes.set_yticks(range(len(rows)), names, family="monospace", fontsize=8.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)
    for row in range(0, len(rows), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f6f6f4", zorder=-1)


def _legend(figure: SavedFigure, rows: list[Row], rivals: list[str]) -> None:
    handles: list[Artist] = [Patch(color=COLOURS[name], label=name) for name in rivals]
    if any("ferrio" in ratios and "stock" in targets_of(scenario.name) for scenario, ratios in rows):
        handles.append(Line2D([], [], color=TARGET_COLOUR, lw=2, label="ferrio's target"))
    # Outside: any corner inside may hold a bar.
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=9, frameon=False)
