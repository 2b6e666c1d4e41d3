"""Future and what belongs to it; all native."""

from ._lazy import attributes
from ._native import (
    Future,
    _chain_future,
    _convert_future_exc,
    _copy_future_state,
    _get_loop,
    _set_concurrent_future_state,
    _set_result_unless_cancelled,
    future_add_to_awaited_by,
    future_discard_from_awaited_by,
    isfuture,
    wrap_future,
)
from .base_futures import _CANCELLED, _FINISHED, _PENDING

__all__ = ("Future", "future_add_to_awaited_by", "future_discard_from_awaited_by", "isfuture", "wrap_future")

__getattr__ = attributes(
    __name__,
    "logger",
    "base_futures",
    "concurrent",
    "contextvars",
    "events",
    "exceptions",
    "format_helpers",
    "logging",
    "sys",
)

STACK_DEBUG = 9  # logging.DEBUG - 1

# CPython has each of these twice, in C and in Python, and its tests ask for both.
_CFuture = _PyFuture = Future
_c_future_add_to_awaited_by = _py_future_add_to_awaited_by = future_add_to_awaited_by
_c_future_discard_from_awaited_by = _py_future_discard_from_awaited_by = future_discard_from_awaited_by
