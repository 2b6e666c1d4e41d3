"""The names of a future's states, and how to tell a future."""

from ._lazy import attributes
from ._native import _format_callbacks, _future_repr, _future_repr_info, isfuture

__all__ = ()

__getattr__ = attributes(__name__, "format_helpers", "reprlib")

_PENDING = "PENDING"
_CANCELLED = "CANCELLED"
_FINISHED = "FINISHED"
