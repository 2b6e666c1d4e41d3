"""Runner and run(); native."""

from ._lazy import attributes
from ._native import Runner, _cancel_all_tasks, run

__all__ = ("Runner", "run")

__getattr__ = attributes(
    __name__,
    "constants",
    "contextvars",
    "coroutines",
    "enum",
    "events",
    "exceptions",
    "functools",
    "inspect",
    "signal",
    "sys",
    "tasks",
    "threading",
    _State={"CREATED": "created", "INITIALIZED": "initialized", "CLOSED": "closed"},
)
