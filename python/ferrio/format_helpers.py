"""How callbacks and the places where things were made are shown; native."""

from ._lazy import attributes
from ._native import (
    _format_args_and_kwargs,
    _format_callback,
    _format_callback_source,
    _get_function_source,
    extract_stack,
)

__all__ = ()

__getattr__ = attributes(__name__, "constants", "functools", "inspect", "reprlib", "sys", "traceback")
