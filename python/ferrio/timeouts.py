"""Timeout, timeout() and timeout_at(); native."""

from ._native import Timeout, timeout, timeout_at

__all__ = ("Timeout", "timeout", "timeout_at")
