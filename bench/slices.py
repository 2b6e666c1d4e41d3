"""Servers under load, in slices: all implementations' servers are up at once and are loaded turn about.

The machine's speed changes from second to second, and by more than the implementations differ. So a ratio is made of
two loads that follow each other within about a second, and there are many of them: in a turn each server is loaded
once, for one slice, and the next turn begins with another of them. A server that is not loaded is blocked and costs
nothing.

Before the first turn each server is warmed up. That takes two loads, because some loops become faster only when a
connection has ended: glibc maps each of their read buffers anew until a freed one has raised its threshold.
"""

from __future__ import annotations

from statistics import median

from bench.load import Server, build, cores, drive
from bench.results import BESIDE, Sample, ScenarioResult
from bench.scenario import Scenario, load

FIRST_SECONDS = 0.05
"""The load after whose connections have ended the warm-up begins."""
WARM_UP_SECONDS = 0.1
SLICE_WARM_UP_SECONDS = 0.03
"""Before each slice: its connections are new, though the server is not."""
BULK_WARM_UP_SECONDS = 0.3
"""The same where bytes go one way as fast as they can: the sockets' buffers, megabytes each, have to be as full or as
empty as they will stay, and what a byte costs depends on how many of them are under way."""
SLOWEST_BYTES = 200e6
"""With much under way at once, a load lasts long enough for it to come round at so many bytes/s."""


class Round:
    """One round of one scenario: its servers, as long as they have not failed."""

    def __init__(self, scenario: Scenario, result: ScenarioResult) -> None:
        self._scenario = scenario
        self._result = result
        self._servers: dict[str, Server] = {}
        self._server_core, self._load_core = cores()
        self._least = scenario.connections * scenario.message_bytes / SLOWEST_BYTES

    def start(self, subjects: list[str]) -> None:
        """Start and warm up the servers of `subjects`, all of them idle at the end."""
        for subject in subjects:
            self._servers[subject] = self._server(subject)
        for subject, server in list(self._servers.items()):
            try:
                server.wait_for_port()
            except RuntimeError as error:
                self._give_up(subject, error)
        for subject in list(self._servers):
            self._drive(subject, 0, FIRST_SECONDS)
            self._drive(subject, 0, WARM_UP_SECONDS)

    def _server(self, subject: str) -> Server:
        if subject == BESIDE:
            beside = load(self._scenario.module, self._scenario.beside)
            return Server(beside, "ferrio", self._server_core)
        return Server(self._scenario, subject, self._server_core)

    def slice(self, subject: str, seconds: float) -> Sample | None:
        """Load one server for one slice; None if it fails, or has failed before."""
        if self._scenario.load.removeprefix("tls-") in ("send", "receive"):
            return self._drive(subject, BULK_WARM_UP_SECONDS, 2 * seconds)
        return self._drive(subject, max(SLICE_WARM_UP_SECONDS, self._least / 2), seconds)

    def _drive(self, subject: str, warm_up: float, seconds: float) -> Sample | None:
        server = self._servers.get(subject)
        if server is None:
            return None
        try:
            return drive(self._scenario, server, self._load_core, warm_up, max(seconds, self._least))
        except (RuntimeError, OSError, ValueError) as error:
            self._give_up(subject, error)
        return None

    def _give_up(self, subject: str, error: Exception) -> None:
        words = self._servers.pop(subject).end()
        self._result.missing[subject] = f"{error}; the server: {words}" if words else str(error)

    def end(self) -> None:
        """End all servers."""
        while self._servers:
            self._servers.popitem()[1].end()


def subjects_of(scenario: Scenario, columns: list[str]) -> list[str]:
    """What is measured of a scenario: `columns`, and ferrio's server of the scenario beside it."""
    return [*columns, *([BESIDE] if scenario.beside and "ferrio" in columns else [])]


def measure(
    scenario: Scenario, columns: list[str], budget: float, slices: int, turn: int, result: ScenarioResult
) -> dict[str, float]:
    """Round number `turn` of the scenario: `slices` samples for each of `columns`, which share `budget` seconds.

    The order is that of `columns` in the first slice and turns from slice to slice. The samples go to the end of the
    lists in `result`, None from where a server failed; that implementation is left out of later rounds too.
    Returns the round's medians.
    """
    subjects = subjects_of(scenario, columns)
    if reason := build(scenario.is_tls):
        result.missing |= dict.fromkeys(subjects, reason)
    found: dict[str, list[float]] = {}
    running = Round(scenario, result)
    try:
        running.start([subject for subject in subjects if subject not in result.missing])
        for number in range(slices):
            shift = number % len(subjects) if subjects else 0
            for order, subject in enumerate(subjects[shift:] + subjects[:shift]):
                sample = running.slice(subject, budget / slices)
                if sample is not None:
                    sample |= {"round": turn, "slice": number, "order": order}
                    found.setdefault(subject, []).append(sample["ns"])
                result.samples.setdefault(subject, []).append(sample)
    finally:
        running.end()
    return {subject: median(values) for subject, values in found.items() if subject not in result.missing}
