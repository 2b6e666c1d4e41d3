"""to_thread(); native."""

from ._lazy import attributes
from ._native import to_thread

__all__ = ("to_thread",)

__getattr__ = attributes(__name__, "contextvars", "events", "functools")
