"""TaskGroup; native."""

from ._native import TaskGroup

__all__ = ("TaskGroup",)
