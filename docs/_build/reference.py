"""Pages that are made when the documents are built: the reference, from the docstrings of the package that is
installed, and what differs from asyncio, from the expectations of the tests.

A hook of mkdocs (`mkdocs.yml`). It needs ferrio importable, and imports no stock asyncio for it.
"""

from __future__ import annotations

import inspect
import sys
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent.parent

SUBJECTS = {
    "running": ("Running programs", ["run", "Runner", "to_thread", "EventLoop", "new_event_loop"]),
    "loop": ("The event loop", ["AbstractEventLoop", "Handle", "TimerHandle", "Server", "AbstractServer"]),
    "tasks": (
        "Tasks and futures",
        ["Task", "Future", "TaskGroup", "create_task", "current_task", "all_tasks", "ensure_future", "isfuture",
         "iscoroutine", "iscoroutinefunction", "wrap_future", "run_coroutine_threadsafe", "eager_task_factory",
         "create_eager_task_factory", "get_running_loop", "get_event_loop"],
    ),
    "waiting": (
        "Waiting",
        ["sleep", "wait", "wait_for", "gather", "shield", "as_completed", "timeout", "timeout_at", "Timeout"],
    ),
    "sync": ("Locks", ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"]),
    "queues": ("Queues", ["Queue", "LifoQueue", "PriorityQueue"]),
    "streams": (
        "Streams",
        ["open_connection", "start_server", "open_unix_connection", "start_unix_server", "StreamReader",
         "StreamWriter", "StreamReaderProtocol"],
    ),
    "transports": (
        "Transports and protocols",
        ["BaseTransport", "ReadTransport", "WriteTransport", "Transport", "DatagramTransport",
         "SubprocessTransport", "BaseProtocol", "Protocol", "BufferedProtocol", "DatagramProtocol",
         "SubprocessProtocol"],
    ),
    "subprocesses": ("Subprocesses", ["create_subprocess_exec", "create_subprocess_shell", "subprocess.Process"]),
    "extras": ("Beyond asyncio: extras", []),
    "files": ("Beyond asyncio: files", []),
    "package": ("Taking asyncio's place", ["install", "install_as_asyncio"]),
}
"""Page -> its title and the names on it; modules' pages have all that the module has."""

MODULES = {"extras": "ferrio.extras", "files": "ferrio.files"}


def signature(value: Any) -> str:
    """The parameters, as Python shows them; empty brackets where it does not know."""
    try:
        return str(inspect.signature(value))
    except (TypeError, ValueError):
        return "(…)"


def documented(value: Any) -> str:
    """A docstring as Markdown: its lines as they are, an indented part as code."""
    return inspect.getdoc(value) or ""


def members(cls: type) -> list[tuple[str, Any]]:
    """The public methods and attributes that a class adds to `object`, in order of name."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not object:
            found |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    return sorted(found.items())


def entry(name: str, value: Any, level: int) -> list[str]:
    """One name: heading, signature, docstring, and what is in a class."""
    head = "#" * level
    short = name.rsplit(".", 1)[-1]
    if inspect.isclass(value):
        lines = [f"{head} `{name}`", "", f"```python\nclass {short}{signature(value)}\n```", "", documented(value)]
        for attribute, member in members(value):
            lines += ["", *entry(f"{short}.{attribute}", member, level + 1)]
        return lines
    if callable(value) or inspect.isroutine(value):
        return [f"{head} `{name}`", "", f"```python\n{short}{signature(value)}\n```", "", documented(value)]
    kind = "property" if inspect.isdatadescriptor(value) else type(value).__name__
    return [f"{head} `{name}`", "", documented(value) if kind == "property" else f"A constant ({kind})."]


def resolve(package: Any, name: str) -> Any:
    """The object behind a dotted name of the package."""
    value = package
    for part in name.split("."):
        value = getattr(value, part)
    return value


def reference() -> dict[str, str]:
    """The pages of the reference, by file name."""
    from importlib import import_module

    package = import_module("ferrio")
    pages: dict[str, str] = {}
    placed: set[str] = set()
    index = ["# Reference", "", "Every public name; signatures and texts are those of the package itself.", ""]
    subjects = dict(SUBJECTS)
    named = {name.split(".")[0] for _, names in SUBJECTS.values() for name in names}
    rest = sorted(name for name in package.__all__ if name not in named and hasattr(package, name))
    subjects["others"] = ("Other names", rest)
    for page, (title, names) in subjects.items():
        source = package
        if page in MODULES:
            source = import_module(MODULES[page])
            names = sorted(getattr(source, "__all__", [n for n in dir(source) if not n.startswith("_")]))
        lines = [f"# {title}", ""]
        for name in names:
            lines += [*entry(name, resolve(source, name), 2), ""]
            placed.add(name)
        pages[f"{page}.md"] = "\n".join(lines) + "\n"
        index.append(f"- [{title}]({page}.md): {', '.join(f'`{name}`' for name in names)}")
    pages["index.md"] = "\n".join(index) + "\n"
    return pages


def differences() -> str:
    """What differs from asyncio, as the tests expect it."""
    lines = [
        "# What differs from asyncio",
        "",
        "The measure is CPython's own test suite of asyncio, as it comes with each version. A test that does not pass has an",
        "entry with a reason; this page is made of those entries. Differences that are meant are in",
        "[Compatibility](design/compatibility.md).",
    ]
    for file in sorted((ROOT / "tests" / "conformance").glob("expectations-*.toml")):
        expected = tomllib.loads(file.read_text()).get("expected", [])
        version = file.stem.partition("-")[2]
        lines += ["", f"## Python {version}", ""]
        if not expected:
            lines.append("Nothing.")
        lines += [f"- `{entry['test']}`: {entry['reason']}" for entry in expected]
    return "\n".join(lines) + "\n"


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    generated = {f"reference/{name}": text for name, text in reference().items()}
    generated["differences.md"] = differences()
    for uri, text in generated.items():
        files.append(File.generated(config, uri, content=text))
    assert "asyncio" not in sys.modules or sys.modules["asyncio"].__name__ == "asyncio"
    return files
