"""The page that says what differs from asyncio, made from what the tests expect: the traces of `tests/differential`, the
tests of CPython's and of other projects that do not pass. Each entry has its reason where the test has it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent.parent / "tests"
BEGIN = """\
# What differs from asyncio

The measure is asyncio itself: its documentation, its code, and CPython's own tests of it. This page is made from the tests'
expectations, so it has every difference that a test knows of, and the tests fail when one of them goes away.
What is meant to differ is explained in [Compatibility](design/compatibility.md).

All names of the newest asyncio are here on every Python, and [the reference](reference/index.md) says since when asyncio has
them.
"""


@dataclass(frozen=True)
class Difference:
    """A program of `tests/differential` whose trace is not stock's, and on which Pythons; on all if there are none."""

    program: str
    what: str
    pythons: tuple[tuple[int, int], ...]


def _decorators(file: Path) -> Iterator[dict[str, ast.expr]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call):
                    yield {keyword.arg: keyword.value for keyword in decorator.keywords if keyword.arg}


def of_traces() -> list[Difference]:
    """What `@scenario(differs=…)` says, in order of the programs; one that several programs meet once."""
    found: dict[str, Difference] = {}
    for file in sorted((TESTS / "differential" / "programs").glob("*.py")):
        for keywords in _decorators(file):
            if "differs" in keywords:
                what = ast.literal_eval(keywords["differs"])
                pythons = ast.literal_eval(keywords["differs_in"]) if "differs_in" in keywords else ()
                found.setdefault(what, Difference(file.stem, what, tuple(pythons)))
    return list(found.values())


def of_suite(file: Path) -> list[tuple[str, str]]:
    """The tests that a file of expectations names, and why they do not pass."""
    entries = tomllib.loads(file.read_text()).get("expected", [])
    return [(entry["test"], entry["reason"]) for entry in entries]


def page() -> str:
    """The page."""
    traces = of_traces()
    lines = [BEGIN, "## On every Python", ""]
    lines += [f"- {known.what}" for known in traces if not known.pythons]
    lines += [
        "",
        "## Where asyncio was mended later",
        "",
        "What a later asyncio mends is mended here on every Python. So on these Pythons ferrio does not do what their own",
        "asyncio does:",
        "",
        "| | differs on |",
        "|---|---|",
    ]
    for known in traces:
        if known.pythons:
            versions = ", ".join(f"{major}.{minor}" for major, minor in known.pythons)
            lines.append(f"| {known.what} | {versions} |")
    lines += ["", "## CPython's own tests", ""]
    lines += ["What does not pass of `test.test_asyncio`, as each Python has it:", ""]
    for file in sorted((TESTS / "conformance").glob("expectations-*.toml")):
        version, missed = file.stem.partition("-")[2], of_suite(file)
        if not missed:
            lines.append(f"- **{version}**: nothing is expected to fail.")
        lines += [f"- **{version}**: `{test}`. {reason}" for test, reason in missed]
    lines += ["", "## Other projects' tests", ""]
    missed = of_suite(TESTS / "suites" / "expectations.toml")
    if not missed:
        lines.append(
            "`make suites` runs the tests of other projects on stock asyncio and then on ferrio; the projects are listed in\n"
            "`tests/suites/suites.toml`. No test that passes on stock is expected to fail on ferrio."
        )
    lines += [f"- `{test}`: {reason}" for test, reason in missed]
    return "\n".join(lines) + "\n"
