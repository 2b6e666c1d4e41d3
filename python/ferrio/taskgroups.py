"""TaskGroup; native."""

from ._lazy import attributes
from ._native import TaskGroup

__all__ = ("TaskGroup",)

__getattr__ = attributes(__name__, "events", "exceptions", "futures", "tasks")
