"""The loop and the server as classes that programs derive from; all they do is in the extension.

The extension looks up two things here when it needs them: `Server`, so that what it returns is an instance, and
`logger`, each time it logs, because programs and tests put another one in its place.
"""

from ._lazy import attributes
from ._native import (
    _check_ssl_socket,
    _format_handle,
    _format_pipe,
    _interleave_addrinfos,
    _ipaddr_info,
    _Loop,
    _run_until_complete_cb,
    _SendfileFallbackProtocol,
    _Server,
    _set_nodelay,
    _set_reuseport,
)
from .events import AbstractEventLoop, AbstractServer

__all__ = ("BaseEventLoop", "Server")

__getattr__ = attributes(
    __name__,
    "logger",
    "collections",
    "concurrent",
    "constants",
    "contextvars",
    "coroutines",
    "errno",
    "events",
    "exceptions",
    "functools",
    "futures",
    "heapq",
    "itertools",
    "math",
    "os",
    "protocols",
    "socket",
    "ssl",
    "sslproto",
    "staggered",
    "stat",
    "subprocess",
    "sys",
    "tasks",
    "threading",
    "time",
    "timeouts",
    "traceback",
    "transports",
    "trsock",
    "warnings",
    "weakref",
)

# For programs that read them: the loop here neither waits by them nor keeps cancelled timers.
MAXIMUM_SELECT_TIMEOUT = 24 * 3600  # seconds
_MIN_SCHEDULED_TIMER_HANDLES = 100
_MIN_CANCELLED_TIMER_HANDLES_FRACTION = 0.5


class BaseEventLoop(_Loop, AbstractEventLoop):
    """An event loop without the parts that need an operating system; made to be derived from.

    What a derived class overrides (`time`, `call_at`, `_run_once`, `_process_events`, ...) is used.
    """

    # For loops written in Python that count cancelled timers, which leave at once here, and descriptors.
    _timer_cancelled_count = 0
    _internal_fds = 1


class Server(_Server, AbstractServer):
    """A listening server, as `loop.create_server()` returns it; not made by calling the class."""
