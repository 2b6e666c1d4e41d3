"""The reference: every public name, from the docstrings of the package that is installed. It needs ferrio importable, and
imports no stock asyncio for it."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

SINCE = Path(__file__).with_name("since.toml")
OLDEST = "3.4"
CODED = re.compile(r"(`[^`]*`)")
CODE = re.compile(r"((?<![\w.])[A-Za-z_][\w.]*\([^()]*\)|\b[A-Z]\w*(?:Error|Warning|ShutDown|Empty|Full)\b)")
WIDE = 88
"""Characters of the longest signature that stands on one line."""


@dataclass(frozen=True)
class Subject:
    """A page: its title, the names on it with spaces between, and what stands above them."""

    title: str
    words: str
    text: str = ""
    module: str = ""
    """If set, the page has every name of this module."""

    @property
    def names(self) -> list[str]:
        """The names."""
        return self.words.split()


SUBJECTS = {
    "running": Subject(
        "Running programs",
        "run Runner to_thread new_event_loop",
    ),
    "loop": Subject(
        "The event loop",
        "EventLoop SelectorEventLoop Handle TimerHandle Server AbstractEventLoop BaseEventLoop "
        "AbstractServer",
        "What `run()`, `Runner` and `new_event_loop()` make is an `EventLoop`; within a coroutine, "
        "`get_running_loop()` returns it.",
    ),
    "tasks": Subject(
        "Tasks and futures",
        "Task Future TaskGroup create_task current_task all_tasks ensure_future isfuture iscoroutine "
        "iscoroutinefunction wrap_future run_coroutine_threadsafe eager_task_factory "
        "create_eager_task_factory get_running_loop get_event_loop",
    ),
    "waiting": Subject(
        "Waiting",
        "sleep wait wait_for gather shield as_completed timeout timeout_at Timeout ALL_COMPLETED "
        "FIRST_COMPLETED FIRST_EXCEPTION",
    ),
    "sync": Subject(
        "Locks",
        "Lock Event Condition Semaphore BoundedSemaphore Barrier",
    ),
    "queues": Subject(
        "Queues",
        "Queue LifoQueue PriorityQueue QueueEmpty QueueFull QueueShutDown",
    ),
    "streams": Subject(
        "Streams",
        "open_connection start_server open_unix_connection start_unix_server StreamReader "
        "StreamWriter StreamReaderProtocol IncompleteReadError LimitOverrunError",
    ),
    "transports": Subject(
        "Transports and protocols",
        "BaseTransport ReadTransport WriteTransport Transport DatagramTransport SubprocessTransport "
        "BaseProtocol Protocol BufferedProtocol DatagramProtocol SubprocessProtocol",
    ),
    "subprocesses": Subject(
        "Subprocesses",
        "create_subprocess_exec create_subprocess_shell subprocess.Process",
    ),
    "graph": Subject(
        "Call graph",
        "print_call_graph format_call_graph capture_call_graph FutureCallGraph FrameCallGraphEntry "
        "future_add_to_awaited_by future_discard_from_awaited_by",
    ),
    "exceptions": Subject(
        "Exceptions",
        "CancelledError TimeoutError InvalidStateError BrokenBarrierError SendfileNotAvailableError",
        "Those of queues and streams are on the pages of those.",
    ),
    "extras": Subject(
        "Beyond asyncio: extras",
        "",
        "asyncio does not have these. They work however ferrio is used.",
        module="ferrio.extras",
    ),
    "files": Subject(
        "Beyond asyncio: files",
        "",
        "asyncio does not have these. They work however ferrio is used; [the guide](../guide/files.md) "
        "has more.",
        module="ferrio.files",
    ),
    "package": Subject(
        "Taking asyncio's place",
        "install uninstall install_as_asyncio",
        "asyncio does not have these. They are in the module `ferrio`.",
    ),
}
ABSTRACT = {"AbstractEventLoop": "EventLoop", "BaseEventLoop": "EventLoop", "AbstractServer": "Server"}
"""Classes whose methods are described where they do something."""
NOT_ASYNCIO = ("extras", "files", "package")
"""Pages of what asyncio does not have."""
OTHERS = Subject("Other names", "", "Policies, child watchers, and what is seldom needed.")


def since() -> dict[str, str]:
    """Name -> the Python since which asyncio has it; those that are not in it are as old as asyncio."""
    return {name: version for version, names in tomllib.loads(SINCE.read_text()).items() for name in names}


def signature(value: Any, *, method: bool = False) -> str:
    """The parameters, as Python shows them, without the object that a method is called on."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        # A default that is no Python expression; asyncio's own C functions have such ones.
        text = getattr(value, "__text_signature__", None) or "(…)"
        return re.sub(r"^\(\$self, (?:/, )?", "(", text).replace("<unrepresentable>", "…")
    parameters = list(found.parameters.values())
    if method and parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    return str(found.replace(parameters=parameters))


def declaration(head: str, parameters: str) -> str:
    """A signature as a block of code: on one line if that is short, else a parameter on each."""
    line = f"{head}{parameters}"
    if len(line) > WIDE and parameters.endswith(")"):
        inside = ",\n    ".join(re.split(r", (?![^(\[{]*[)\]}])", parameters[1:-1]))
        line = f"{head}(\n    {inside},\n)"
    return f"```python\n{line}\n```"


def documented(value: Any) -> str:
    """A docstring as Markdown: lines `name: what it is` become a list, calls and exceptions become code."""
    lines: list[str] = []
    listed = False
    for line in (inspect.getdoc(value) or "").split("\n"):
        found = re.match(r"(\*{0,2}[a-z_]\w*(?:, \*{0,2}[a-z_]\w*)*): (?=\S)", line)
        # In the first line of a paragraph, or where a list has begun.
        listed = bool(line) and (listed or (found is not None and (not lines or not lines[-1])))
        if found and listed:
            names = ", ".join(f"`{name}`" for name in found[1].split(", "))
            line = f"- {names}: {line[found.end() :]}"
        # Not within what is code already.
        lines.append(
            "".join(part if part[:1] == "`" else CODE.sub(r"`\1`", part) for part in CODED.split(line))
        )
    text = "\n".join(lines)
    if text.startswith("Coroutine: "):  # the signature says so
        text = text.removeprefix("Coroutine: ")
        text = text[:1].upper() + text[1:]
    return text


def coroutine(value: Any) -> bool:
    """Whether it has to be awaited: a coroutine function, or one whose docstring begins with the word."""
    return inspect.iscoroutinefunction(value) or (inspect.getdoc(value) or "").startswith("Coroutine: ")


class Reference:
    """The pages, by file name."""

    def __init__(self, package: Any) -> None:
        self.package = package
        self.since = since()
        self.subjects = dict(SUBJECTS)
        for page, subject in SUBJECTS.items():
            if subject.module:
                module = import_module(subject.module)
                self.subjects[page] = Subject(
                    subject.title, " ".join(sorted(module.__all__)), subject.text, subject.module
                )
        placed = {name for subject in self.subjects.values() if not subject.module for name in subject.names}
        rest = (
            n for n in package.__all__ if n not in placed and not n.startswith("_") and hasattr(package, n)
        )
        self.subjects["others"] = Subject(OTHERS.title, " ".join(sorted(set(rest))), OTHERS.text)
        # Where a class or function has its entry; a second name of it refers to that.
        self.public: dict[int, tuple[str, str]] = {}
        for page, subject in self.subjects.items():
            for name, value in self._values(subject):
                if callable(value):
                    self.public.setdefault(id(value), (page, name))

    def _values(self, subject: Subject) -> Iterator[tuple[str, Any]]:
        for name in subject.names:
            value: Any = import_module(subject.module) if subject.module else self.package
            for part in name.split("."):
                value = getattr(value, part)
            yield name, value

    def pages(self) -> dict[str, str]:
        """File name -> text."""
        pages = {}
        index = [
            "# Reference",
            "",
            "Every public name. Signatures and texts are those of the package itself.",
            "",
        ]
        for page, subject in self.subjects.items():
            lines = [f"# {subject.title}", ""]
            if subject.text:
                lines += [subject.text, ""]
            for name, value in self._values(subject):
                lines += [*self.entry(name, value, page, 2), ""]
            pages[f"{page}.md"] = "\n".join(lines) + "\n"
            links = ", ".join(f"[`{name}`]({page}.md#{name})" for name in subject.names)
            index.append(f"- **[{subject.title}]({page}.md)**: {links}")
        pages["index.md"] = "\n".join(index) + "\n"
        return pages

    def entry(self, name: str, value: Any, page: str, level: int, owner: type | None = None) -> list[str]:
        """One name: heading, signature, docstring, since when, and what is in a class."""
        short = name.rsplit(".", 1)[-1]
        lines = [f'{"#" * level} `{name}` {{#{name} data-toc-label="{short}"}}', ""]
        text = documented(value)
        first = self.public.get(id(value), (page, name))
        if owner is None and first != (page, name):
            return [*lines, f"The same as [`{first[1]}`]({first[0]}.md#{first[1]})."]
        if inspect.isclass(value):
            taken = signature(value)
            if taken == "(…)" and issubclass(value, BaseException):
                taken = f"({value.__bases__[0].__name__})"
            lines += [declaration(f"class {short}", taken), ""]
            if kinds := self._bases(value):
                lines += [f"A kind of {' and '.join(kinds)}: what that has, it has too.", ""]
        elif callable(value) or inspect.isroutine(value):
            prefix = "async " if coroutine(value) else ""
            lines += [declaration(f"{prefix}{short}", signature(value, method=owner is not None)), ""]
        elif not inspect.isdatadescriptor(value):
            lines += [f"```python\n{short} = {value!r}\n```", ""]
            text = ""
        lines.append(text)
        version = self._since(name, owner) if page not in NOT_ASYNCIO else ""
        if version and not re.search(rf"[Ss]ince (asyncio )?{version}\b", text):
            lines += ["", f"*Since asyncio {version}.*"]
        if name in ABSTRACT:
            lines += ["", f"Its methods are those of [`{ABSTRACT[name]}`](#{ABSTRACT[name]})."]
        elif inspect.isclass(value):
            for attribute, member in self._members(value):
                lines += ["", *self.entry(f"{short}.{attribute}", member, page, level + 1, value)]
        return lines

    def _bases(self, cls: type) -> list[str]:
        """Links to the public classes that a class derives from, without those that one of these derives from."""
        known = [
            base for base in cls.__mro__[1:] if id(base) in self.public and base.__name__ not in ABSTRACT
        ]
        nearest = [base for base in known if not any(b is not base and issubclass(b, base) for b in known)]
        return [f"[`{name}`]({page}.md#{name})" for page, name in (self.public[id(base)] for base in nearest)]

    def _since(self, name: str, owner: type | None) -> str:
        if owner is None:
            return self.since.get(name, OLDEST)
        member = name.rsplit(".", 1)[-1]
        known = (self.since.get(f"{base.__name__}.{member}") for base in owner.__mro__)
        return next((version for version in known if version), "")

    def _members(self, cls: type) -> list[tuple[str, Any]]:
        """The public methods and attributes of a class, without those of a base that has an entry of its own."""
        found: dict[str, Any] = {}
        for base in cls.__mro__:
            own = base is cls or (id(base) not in self.public and not issubclass(base, BaseException))
            if base is object or not (own or base.__name__ in ABSTRACT):
                continue
            for name, value in vars(base).items():
                if not name.startswith("_"):
                    found.setdefault(name, value)
        return sorted(found.items())
