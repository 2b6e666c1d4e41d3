"""ferrio is asyncio, written in Rust: event loop, futures, tasks, transports, streams, locks, queues and the rest.

    ferrio run app.py              run a program as it is, with ferrio for its asyncio
    import ferrio; ferrio.install()    the same, from inside, first thing
    import ferrio as asyncio       use it by name, beside stock asyncio

Every name of the newest asyncio is here on every Python, and every name that this Python's own asyncio has.  What is
native is bound at once; the rest (abstract classes, exceptions, submodules) is loaded when it is first asked for, so
that importing ferrio takes a fraction of what importing asyncio does.
"""

import sys

from ._mocks import meet_mock as _meet_mock
from ._native import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    FrameCallGraphEntry,
    Future,
    FutureCallGraph,
    Handle,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    Runner,
    Semaphore,
    StreamReader,
    StreamWriter,
    Task,
    TaskGroup,
    Timeout,
    TimerHandle,
    _enter_task,
    _get_running_loop,
    _leave_task,
    _register_task,
    _set_running_loop,
    _unregister_task,
    all_tasks,
    as_completed,
    capture_call_graph,
    create_eager_task_factory,
    create_subprocess_exec,
    create_subprocess_shell,
    create_task,
    current_task,
    eager_task_factory,
    ensure_future,
    format_call_graph,
    future_add_to_awaited_by,
    future_discard_from_awaited_by,
    gather,
    get_event_loop,
    get_running_loop,
    iscoroutine,
    iscoroutinefunction,
    isfuture,
    open_connection,
    open_unix_connection,
    print_call_graph,
    run,
    run_coroutine_threadsafe,
    shield,
    sleep,
    start_server,
    start_unix_server,
    timeout,
    timeout_at,
    to_thread,
    wait,
    wait_for,
    wrap_future,
)
from ._submodules import LAZY as _LAZY
from ._submodules import OWN as _OWN
from ._submodules import SUBMODULES as _SUBMODULES
from ._two_worlds import meet_stock as _meet_stock
from .install import install, install_as_asyncio, uninstall

_meet_stock()
_meet_mock()

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "FrameCallGraphEntry",
    "Future",
    "FutureCallGraph",
    "Handle",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "Runner",
    "Semaphore",
    "StreamReader",
    "StreamWriter",
    "Task",
    "TaskGroup",
    "Timeout",
    "TimerHandle",
    "_enter_task",
    "_get_running_loop",
    "_leave_task",
    "_register_task",
    "_set_running_loop",
    "_unregister_task",
    "all_tasks",
    "as_completed",
    "capture_call_graph",
    "create_eager_task_factory",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "create_task",
    "current_task",
    "eager_task_factory",
    "ensure_future",
    "format_call_graph",
    "future_add_to_awaited_by",
    "future_discard_from_awaited_by",
    "gather",
    "get_event_loop",
    "get_running_loop",
    "iscoroutine",
    "iscoroutinefunction",
    "isfuture",
    "open_connection",
    "open_unix_connection",
    "print_call_graph",
    "run",
    "run_coroutine_threadsafe",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "to_thread",
    "wait",
    "wait_for",
    "wrap_future",
]
__all__ += [name for name in _LAZY if name not in ("EventLoopPolicy", "__version__")]


def __getattr__(name):
    if name in _LAZY:
        value = getattr(_submodule(_LAZY[name]), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES or name in _OWN:
        return _submodule(name)
    if name in ("AbstractEventLoopPolicy", "DefaultEventLoopPolicy"):
        # Here only from Python 3.14 on: before, these are ordinary names of the table above.
        import warnings

        warnings._deprecated(f"asyncio.{name}", remove=(3, 16))
        return getattr(_submodule("unix_events" if name[0] == "D" else "events"), "_" + name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _settle():
    """Load what is still missing, and become an ordinary module; the first event loop asks for it.

    On a module with `__getattr__` the interpreter looks up every attribute the long way: some 20 ns for each
    `asyncio.sleep` of a running program.  From Python 3.14 on asyncio has one itself, for names on their way out.
    """
    if sys.version_info >= (3, 14) or "__getattr__" not in globals():
        return
    for name in (*_LAZY, *_SUBMODULES, *_OWN):
        if name not in globals():
            getattr(sys.modules[__name__], name)
    # Another thread may have been here at the same time.
    globals().pop("__getattr__", None)


def __dir__():
    return sorted({*globals(), *_LAZY, *_SUBMODULES, *_OWN})


def _submodule(name):
    __import__(f"{__name__}.{name}")
    return sys.modules[f"{__name__}.{name}"]
