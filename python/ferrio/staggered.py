"""staggered_race(): start the next attempt when the one before is slow; native."""

from ._lazy import attributes
from ._native import staggered_race

__all__ = ("staggered_race",)

__getattr__ = attributes(__name__, "contextlib", "events", "futures", "locks", "tasks")
