"""The names of a future's states, and how to tell a future."""

from ._native import isfuture

__all__ = ()

_PENDING = "PENDING"
_CANCELLED = "CANCELLED"
_FINISHED = "FINISHED"
