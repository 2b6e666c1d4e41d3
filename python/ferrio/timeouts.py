"""Timeout, timeout() and timeout_at(); native."""

from ._lazy import attributes
from ._native import Timeout, timeout, timeout_at

__all__ = ("Timeout", "timeout", "timeout_at")

__getattr__ = attributes(
    __name__,
    "enum",
    "events",
    "exceptions",
    "tasks",
    _State={
        "CREATED": "created",
        "ENTERED": "active",
        "EXPIRING": "expiring",
        "EXPIRED": "expired",
        "EXITED": "finished",
    },
)
