"""How to tell a coroutine, and how to name one; native."""

from ._lazy import attributes
from ._native import _format_coroutine, _is_coroutine, _is_debug_mode, iscoroutine, iscoroutinefunction

__all__ = ("iscoroutine", "iscoroutinefunction")

__getattr__ = attributes(__name__, "collections", "inspect", "os", "sys", "types")
