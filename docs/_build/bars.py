"""Bars for the page of measurements and the README: how many times as fast as stock asyncio, on a log scale, as SVG.

The text is as large as the page's own where the drawing is shown at its natural width, on a telephone too: a scenario's
name stands above its bars, or beside them where there is room (`beside`). It knows nothing of results; it gets
numbers, so that a test can read them back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import log

COLOURS = {
    "uvloop": "#7c93b2",
    "rloop": "#c3b49a",
    "zuvloop": "#8fae8b",
    "rsloop": "#b79ac3",
    "aiofastnet": "#c9a227",
    "aiofastnet-uvloop": "#6a9fb5",
    "ferrio-portable": "#e39a7c",
    "ferrio": "#c8451b",
}
"""Name -> colour, in the order in which the bars stand."""
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
BAR = 9
TITLE = 15
GAP = 8
NUMBER = 44
"""Room for the number behind the longest bar."""


@dataclass(frozen=True)
class Bar:
    """One implementation's ratio, and half its interquartile range as a fraction of it."""

    name: str
    value: float
    spread: float | None = None


@dataclass(frozen=True)
class Row:
    """A scenario and its bars; those that were not measured are left out."""

    title: str
    bars: Sequence[Bar]


def number(value: float) -> str:
    """A ratio as it stands behind its bar."""
    return f"{value:.1f}×" if value >= 1.95 else f"{value:.2f}×"


def draw(rows: Sequence[Row], *, label: str, width: int = 400, beside: int = 0, paper: str = "none") -> str:
    """The drawing: SVG that scales to the width it is given, in the text colour of the page around it.

    `label` is what is read to those who do not see it. `beside` is the width of a column for the names; 0 puts them
    above their bars. `paper` is the background, for a file that stands alone.
    """
    values = [
        bar.value * (1 + side * (bar.spread or 0)) for row in rows for bar in row.bars for side in (-1, 1)
    ]
    low, high = min([1.0, *values]), max([2.0, *values])
    left, right = beside + (NUMBER if low < 1 else 0), width - NUMBER

    def across(value: float) -> float:
        return left + (right - left) * log(value / low) / log(high / low)

    parts = []
    names = [name for name in COLOURS if any(bar.name == name for row in rows for bar in row.bars)]
    parts += _legend(names, width)
    top = 34 + 14 * ((len(names) - 1) // 4)
    y: float = top
    spans = []
    for row in rows:
        height = BAR * len(row.bars)
        if beside:
            parts.append(_text(beside - 6, y + height / 2 + 4, row.title, "title", anchor="end"))
        else:
            y += TITLE
            parts.append(_text(0, y - 4, row.title, "title"))
        # The lines of the scale stop at the names.
        spans.append((y - 2, y + height + (GAP if beside else 2)))
        for bar in row.bars:
            parts += _bar(bar, y, across)
            y += BAR
        y += GAP
    ticks = [tick for tick in TICKS if low * 0.999 <= tick <= high]
    lines = []
    for tick in ticks:
        x = across(tick)
        path = "".join(f"M{x:.1f} {begin:g}V{end:g}" for begin, end in spans)
        lines.append(f'<path class="{"one" if tick == 1 else "grid"}" d="{path}"/>')
        lines.append(_text(x, y + 11, f"{tick:g}×", "tick", anchor="middle"))
    size = background = ""
    if paper != "none":
        size = f'width="{width}" height="{y + 16:g}" '
        background = f'<rect x="-8" y="-8" width="110%" height="110%" fill="{paper}"/>'
    return (
        f'<svg class="bars" xmlns="http://www.w3.org/2000/svg" {size}viewBox="-4 -4 {width + 8} {y + 24:g}" role="img" '
        f'aria-label="{escape(label)}">{STYLE}{background}{"".join(lines)}{"".join(parts)}</svg>'
    )


STYLE = (
    "<style>.bars text{font:10px system-ui,sans-serif;fill:currentColor}.bars .title{font-weight:600}"
    ".bars .tick,.bars .other{font-size:9px;opacity:.75}.bars .ferrio{font-size:9px;font-weight:700}"
    ".bars .grid{stroke:currentColor;opacity:.15}.bars .one{stroke:currentColor;opacity:.7}"
    ".bars .spread{stroke:currentColor;opacity:.8}</style>"
)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _legend(names: Sequence[str], width: int) -> list[str]:
    parts = []
    column = max(width / 4, 100)
    for index, name in enumerate(names):
        x, y = column * (index % 4), 4 + 14 * (index // 4)
        parts.append(f'<rect x="{x:g}" y="{y}" width="10" height="10" fill="{COLOURS[name]}"/>')
        parts.append(_text(x + 14, y + 9, name, "name"))
    parts.append(
        _text(0, 28 + 14 * ((len(names) - 1) // 4), "times the speed of stock asyncio, log scale", "tick")
    )
    return parts


def _bar(bar: Bar, y: float, across: Callable[[float], float]) -> list[str]:
    one, end, middle = across(1), across(bar.value), y + BAR / 2
    start, length = min(one, end), abs(end - one)
    parts = [
        f'<rect x="{start:.1f}" y="{y + 0.5}" width="{length:.1f}" height="{BAR - 1}" fill="{COLOURS[bar.name]}"/>'
    ]
    tip = end
    if bar.spread and bar.spread >= 0.001:
        low, high = across(bar.value * (1 - bar.spread)), across(bar.value * (1 + bar.spread))
        parts.append(f'<path class="spread" d="M{low:.1f} {middle}H{high:.1f}"/>')
        tip = high if bar.value >= 1 else low
    kind = "ferrio" if bar.name == "ferrio" else "other"
    anchor, x = ("start", tip + 4) if bar.value >= 1 else ("end", tip - 4)
    parts.append(_text(x, middle + 3, number(bar.value), kind, anchor=anchor))
    return parts
