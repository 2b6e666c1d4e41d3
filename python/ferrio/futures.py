"""Future and what belongs to it; all native."""

from ._lazy import attributes
from ._native import Future, future_add_to_awaited_by, future_discard_from_awaited_by, isfuture, wrap_future
from .base_futures import _CANCELLED, _FINISHED, _PENDING

__all__ = ("Future", "future_add_to_awaited_by", "future_discard_from_awaited_by", "isfuture", "wrap_future")

__getattr__ = attributes(__name__, "logger")

# CPython has each of these twice, in C and in Python, and its tests ask for both.
_CFuture = _PyFuture = Future
_c_future_add_to_awaited_by = _py_future_add_to_awaited_by = future_add_to_awaited_by
_c_future_discard_from_awaited_by = _py_future_discard_from_awaited_by = future_discard_from_awaited_by
