"""What a scenario is, and the list of all of them.

A scenario's code is the same for every implementation: it says `import asyncio` and no more. It declares
itself with one of three decorators, by how it has to be measured:

- `in_process`: a coroutine function that does `n` operations; the measured process times it (`child.py`);
- `server`: a coroutine function that starts a server; a load generator measures it from outside (`load.py`),
  once for each number of connections and size of messages;
- `cold_process`: a statement whose cost is that of whole new processes (`cold.py`).

Imported in the measured process, so it may import neither asyncio nor anything that does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

MODULES = (
    "scenarios_core",
    "scenarios_sync",
    "scenarios_net",
    "scenarios_children",
    "scenarios_http",
    "scenarios_tls",
    "cold",
)
"""Where scenarios live, in the order in which the table shows them."""

Body = Callable[[int], Awaitable[float | None]]
StartServer = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Scenario:
    """One scenario: how to measure it, and what one operation is."""

    name: str
    module: str
    per: str
    """The operation that the figures are for, as the table's reader should read it."""
    body: Body | None = None
    multiple: int = 1
    """`n` is always a multiple of this (children per gather, say)."""
    fixed: int | None = None
    """If set, `n` is exactly this: the size is part of what is measured."""
    itself: bool = False
    """Whether the body returns the figure, in seconds, instead of being timed."""
    start: StartServer | None = None
    load: str = ""
    """What the load generator does: `echo`, `connect`, `send`, `receive` or `udp`, each but the last also over TLS
    (`tls-echo`, ...; `tls-resume` is `tls-connect` with the session of the connection before); `http` is wrk's
    (`wrk.py`)."""
    connections: int = 1
    message_bytes: int = 64
    certificate: str = ""
    """`ecdsa` or `rsa`, where the load talks TLS (`certificates.py`)."""
    beside: str = ""
    """The scenario under the same load whose cost this one's is held against."""
    statements: dict[str, str] = field(default_factory=dict)
    """Implementation -> the statement that a cold process runs."""

    @property
    def is_tls(self) -> bool:
        """Whether the load talks TLS."""
        return self.load.startswith("tls-")

    @property
    def kind(self) -> str:
        """`in-process`, `server` or `cold`."""
        if self.body is not None:
            return "in-process"
        return "server" if self.start is not None else "cold"


_REGISTRY: dict[str, Scenario] = {}


def _add(scenario: Scenario) -> None:
    if scenario.name in _REGISTRY:
        raise ValueError(f"two scenarios are called {scenario.name}")
    _REGISTRY[scenario.name] = scenario


def in_process(
    per: str, *, multiple: int = 1, fixed: int | None = None, itself: bool = False
) -> Callable[[Body], Body]:
    """Declare a coroutine function `body(n)` that does `n` operations, each called `per` in the table."""

    def declare(body: Body) -> Body:
        _add(
            Scenario(
                _name(body),
                body.__module__.rpartition(".")[2],
                per,
                body=body,
                multiple=multiple,
                fixed=fixed,
                itself=itself,
            )
        )
        return body

    return declare


def server(
    *,
    load: str = "echo",
    connections: tuple[int, ...] = (1, 64, 512),
    sizes: tuple[int, ...] = (64, 1024, 65536),
    certificate: str = "",
    beside: str = "",
) -> Callable[[StartServer], StartServer]:
    """Declare a coroutine function that starts a server on a free loopback port and returns it.

    It becomes one scenario for each pair of `connections` and `sizes` (bytes per message), called
    `NAME_SIZE_cCONNECTIONS`; an HTTP server has no sizes, and is called `NAME_cCONNECTIONS`. `beside` names the
    function whose cost under the same load is the measure.
    """

    def declare(start: StartServer) -> StartServer:
        per = {"connect": "connection", "resume": "connection", "http": "request"}
        for size in sizes if load != "http" else (0,):
            for count in connections:
                under = f"_{_size(size)}_c{count}" if size else f"_c{count}"
                _add(
                    Scenario(
                        _name(start) + under,
                        start.__module__.rpartition(".")[2],
                        per.get(load.removeprefix("tls-"), "message"),
                        start=start,
                        load=load,
                        connections=count,
                        message_bytes=size,
                        certificate=certificate,
                        beside=beside and beside + under,
                    )
                )
        return start

    return declare


def _size(size: int) -> str:
    return f"{size // 1024}k" if size % 1024 == 0 else str(size)


def cold_process(name: str, per: str, module: str, statements: dict[str, str]) -> None:
    """Declare a statement per implementation, measured as a new process less a bare interpreter."""
    _add(Scenario(name, module.rpartition(".")[2], per, statements=statements))


def _name(function: Callable[..., Any]) -> str:
    return str(function.__name__)


def all_scenarios() -> list[Scenario]:
    """Import every scenario module and return the scenarios in order. Not for the measured process."""
    for module in MODULES:
        import_module(f"bench.{module}")
    # Not in the order of declaration: that depends on which module was imported first, and by whom.
    return sorted(_REGISTRY.values(), key=lambda scenario: MODULES.index(scenario.module))


def select(patterns: list[str]) -> list[Scenario]:
    """The scenarios that match any of the shell-style `patterns`; all of them if there are none."""
    scenarios = all_scenarios()
    if not patterns:
        return scenarios
    return [s for s in scenarios if any(fnmatchcase(s.name, pattern) for pattern in patterns)]


def load(module: str, name: str) -> Scenario:
    """Import one scenario module and return the scenario `name` in it."""
    import_module(f"bench.{module}")
    return _REGISTRY[name]
