"""The completion-based loop of Windows: names that code asks for with isinstance, on every system.

There is no ProactorEventLoop outside of Windows, in asyncio neither.
"""

from ._lazy import attributes
from .base_events import BaseEventLoop

__all__ = ("BaseProactorEventLoop",)

__getattr__ = attributes(__name__, "logger")


class BaseProactorEventLoop(BaseEventLoop):
    """A loop over completion notification; no loop of ferrio's is one."""
