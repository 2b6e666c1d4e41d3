"""Runner and run(); native."""

from ._native import Runner, run

__all__ = ("Runner", "run")
