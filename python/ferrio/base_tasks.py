"""Tasks as text, and their stacks; native."""

from ._lazy import attributes
from ._native import _task_get_stack, _task_print_stack, _task_repr, _task_repr_info

__all__ = ()

__getattr__ = attributes(__name__, "base_futures", "coroutines", "linecache", "reprlib", "traceback")
