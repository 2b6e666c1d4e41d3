"""Which submodules the package has under asyncio's names, and which public names come out of them when asked for."""

import sys

SUBMODULES = frozenset(
    {
        "base_events",
        "base_futures",
        "base_subprocess",
        "base_tasks",
        "constants",
        "coroutines",
        "events",
        "exceptions",
        "format_helpers",
        "futures",
        "graph",
        "locks",
        "log",
        "mixins",
        "proactor_events",
        "protocols",
        "queues",
        "runners",
        "selector_events",
        "sslproto",
        "staggered",
        "streams",
        "subprocess",
        "taskgroups",
        "tasks",
        "threads",
        "timeouts",
        "transports",
        "trsock",
        "unix_events",
    }
)

# Those that `import asyncio` leaves in `sys.modules`.
IMPORTED_WITH_ASYNCIO = SUBMODULES - {"proactor_events"}
if sys.version_info < (3, 14):
    IMPORTED_WITH_ASYNCIO -= {"graph"}

# Those that asyncio does not have: they are never installed under its name.
OWN = frozenset({"extras", "files", "legacy"})

# Everything public that is not native; the value is the submodule that has it.
LAZY = {
    "ALL_COMPLETED": "tasks",
    "AbstractEventLoop": "events",
    "AbstractServer": "events",
    "BaseEventLoop": "base_events",
    "BaseProtocol": "protocols",
    "BaseTransport": "transports",
    "BrokenBarrierError": "exceptions",
    "BufferedProtocol": "protocols",
    "CancelledError": "exceptions",
    "DatagramProtocol": "protocols",
    "DatagramTransport": "transports",
    "EventLoop": "unix_events",
    "EventLoopPolicy": "unix_events",
    "FIRST_COMPLETED": "tasks",
    "FIRST_EXCEPTION": "tasks",
    "IncompleteReadError": "exceptions",
    "InvalidStateError": "exceptions",
    "LimitOverrunError": "exceptions",
    "Protocol": "protocols",
    "QueueEmpty": "exceptions",
    "QueueFull": "exceptions",
    "QueueShutDown": "exceptions",
    "ReadTransport": "transports",
    "SelectorEventLoop": "unix_events",
    "SendfileNotAvailableError": "exceptions",
    "Server": "base_events",
    "StreamReaderProtocol": "streams",
    "SubprocessProtocol": "protocols",
    "SubprocessTransport": "transports",
    "TimeoutError": "exceptions",
    "Transport": "transports",
    "WriteTransport": "transports",
    "__version__": "_version",
    "get_event_loop_policy": "events",
    "new_event_loop": "events",
    "set_event_loop": "events",
    "set_event_loop_policy": "events",
}

if sys.version_info < (3, 14):
    LAZY |= {
        "AbstractChildWatcher": "unix_events",
        "AbstractEventLoopPolicy": "events",
        "DefaultEventLoopPolicy": "unix_events",
        "FastChildWatcher": "unix_events",
        "MultiLoopChildWatcher": "unix_events",
        "PidfdChildWatcher": "unix_events",
        "SafeChildWatcher": "unix_events",
        "ThreadedChildWatcher": "unix_events",
        "get_child_watcher": "events",
        "set_child_watcher": "events",
    }
