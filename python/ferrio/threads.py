"""to_thread(); native."""

from ._native import to_thread

__all__ = ("to_thread",)
