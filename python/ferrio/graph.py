"""The call graph: who awaits whom; since asyncio 3.14, native."""

from ._lazy import attributes
from ._native import (
    FrameCallGraphEntry,
    FutureCallGraph,
    capture_call_graph,
    format_call_graph,
    print_call_graph,
)

__all__ = (
    "FrameCallGraphEntry",
    "FutureCallGraph",
    "capture_call_graph",
    "format_call_graph",
    "print_call_graph",
)

__getattr__ = attributes(__name__, "dataclasses", "events", "futures", "io", "sys", "tasks", "types")
