"""What a program of ``programs/`` says with: scenarios, and events written to the trace.

Two implementations are the same as far as these traces go, so an event holds what a user could come to depend on
(order, results, exception types and messages, reprs, log records) and nothing that differs from run to run or that is
only the place where code happens to stand: addresses, descriptors, durations, paths of library files, and the running
number of tasks, which is counted anew in each scenario.
"""

import asyncio
import inspect
import json
import os
import re
import socket
import sys

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")

_PLACE = re.compile(
    r"(?P<word> (?:running at|defined at|created at|at))? ?(?P<path>/[^\s:]+\.py):(?P<line>\d+)"
)
_RULES = [
    (re.compile(r"0x[0-9a-f]+", re.I), "0x…"),
    (re.compile(r"\bid=\d+"), "id=…"),
    (re.compile(r"<socket\.socket [^>]*>"), "<socket>"),
    (re.compile(r"\b(fd|pid)=\d+"), r"\1=N"),
    (re.compile(r"<Process \d+>"), "<Process N>"),
    (re.compile(r"\b(pid:?|process|[Pp]ipe) \d+"), r"\1 N"),
    (re.compile(r"(\('127\.0\.0\.1', )\d+"), r"\1PORT"),
    (re.compile(r"took [\d.]+ seconds"), "took N seconds"),
    (re.compile(r"\b(?:_asyncio|ferrio\._ferrio|ferrio)\."), "asyncio."),
    (re.compile(r"\basyncio\.(?:[a-z_]+\.)+(?=[A-Z_])"), "asyncio."),
    (re.compile(r"<_?(?:Unix)?(?:Selector)?EventLoop "), "<EventLoop "),
    (re.compile(r"<_?Selector(?=\w*Transport)"), "<"),
    (re.compile(r" when=[\d.]+"), " when=N"),
    (re.compile(r",>"), ">"),
]

SCENARIOS = []
_sink = None
_task_names = {}


def scenario(func=None, *, since=None, debug=False, differs=None, differs_in=None, expected=None):
    """Mark a function as one scenario of the program; ``async`` ones are run by ``asyncio.run``.

    since: the first Python, as a tuple, on which stock has what it is about.
    debug: run an async one in debug mode.
    differs, expected: the reason why ferrio is to differ from stock here, and the trace it is to give instead.  The
    test fails if stock comes to give that trace too.
    differs_in: the Pythons, as a list of tuples, on which it is to differ; on the others both are to be the same.
    """

    def mark(function):
        function.debug = debug
        if since is None or sys.version_info[:2] >= since:
            SCENARIOS.append(function)
        return function

    return mark(func) if func is not None else mark


def run(function):
    """Run one scenario; what it raises ends up in the trace."""
    _task_names.clear()
    try:
        if inspect.iscoroutinefunction(function):
            asyncio.run(function(), debug=function.debug)
        else:
            function()
    except BaseException as exc:
        write("raised", plain(exc))


def open_trace(path):
    """Send events to the file at *path* from now on, each one at once: it must survive a crash."""
    global _sink
    _sink = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def write(kind, *fields):
    """Append one event to the trace."""
    os.write(_sink, (json.dumps([kind, *fields], ensure_ascii=False) + "\n").encode())


def _place(match):
    word, path = match["word"] or "", match["path"]
    if word == " created at":  # stock names its own frame here where it has Python ones
        return ""
    if os.path.dirname(path) == PROGRAMS:
        return f"{word} {os.path.basename(path)}:{match['line']}"
    return " running" if word == " running at" else ""


def _task_name(match):
    return _task_names.setdefault(match[0], f"Task-#{len(_task_names) + 1}")


def normal(text):
    """*text* without what differs from run to run."""
    text = _PLACE.sub(_place, text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return re.sub(r"\bTask-\d+\b", _task_name, text)


def plain(value):
    """*value* as JSON can hold it."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return normal(value)
    if isinstance(value, BaseExceptionGroup):
        return {"group": type(value).__name__, "message": value.message, "of": plain(list(value.exceptions))}
    if isinstance(value, BaseException):
        return {"exception": type(value).__name__, "message": normal(str(value))}
    if isinstance(value, type):
        return f"class {value.__name__}"
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=str)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return normal(repr(value))


def emit(*values):
    """Write values into the trace."""
    write("event", *map(plain, values))


def attempt(label, function, *args, **kwargs):
    """Call *function* and write what it returned or raised; returns the result, or None."""
    try:
        result = function(*args, **kwargs)
    except BaseException as exc:
        write("event", label, "raised", plain(exc))
        return None
    write("event", label, "returned", plain(result))
    return result


def attempt_type(label, function, *args, **kwargs):
    """Like ``attempt``, but only the exception's type: its message is the interpreter's, not asyncio's."""
    try:
        result = function(*args, **kwargs)
    except BaseException as exc:
        write("event", label, "raised", type(exc).__name__)
        return None
    write("event", label, "returned", plain(result))
    return result


async def outcome(label, awaitable):
    """Await and write what came of it; returns the result, or None.  Cancellation is written too, and ends here."""
    try:
        result = await awaitable
    except BaseException as exc:
        write("event", label, "raised", plain(exc))
        return None
    write("event", label, "returned", plain(result))
    return result


def chain(exc):
    """The types along ``__cause__`` and ``__context__``, as a list of [link, type, message]."""
    links = []
    while exc is not None and len(links) < 10:
        if exc.__cause__ is not None:
            link, exc = "cause", exc.__cause__
        else:
            link, exc = "context", exc.__context__
        if exc is not None:
            links.append([link, type(exc).__name__, normal(str(exc))])
    return links


def watch_exceptions(loop):
    """Write the contexts that *loop*'s exception handler is called with."""

    def handler(loop, context):
        write("context", {key: plain(context[key]) for key in sorted(context) if key != "source_traceback"})

    loop.set_exception_handler(handler)


async def spin(times=1):
    """Give the loop *times* turns."""
    for _ in range(times):
        await asyncio.sleep(0)


async def until(condition):
    """Wait until *condition()* holds, where nothing wakes the loop for it: it is asked again and again."""
    while not condition():
        await asyncio.sleep(0.001)


async def polled():
    """Let the loop ask the system once: what could be read when this began has been handed out when it returns."""
    loop = asyncio.get_running_loop()
    seen = loop.create_future()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.add_reader(ours, lambda: seen.done() or seen.set_result(None))
        theirs.send(b"x")
        await seen
        loop.remove_reader(ours)


def new_loop(debug=False):
    """A new event loop that is nobody's current one."""
    loop = asyncio.new_event_loop()
    loop.set_debug(debug)
    return loop
