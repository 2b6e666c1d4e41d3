"""Lock, Event, Condition, Semaphore, BoundedSemaphore and Barrier; native."""

from ._lazy import attributes
from ._native import Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore

__all__ = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore")

__getattr__ = attributes(__name__, "collections", "enum", "exceptions", "mixins")


class _ContextManagerMixin:
    """`async with` for a class that has `acquire()` and `release()`."""

    async def __aenter__(self):
        await self.acquire()

    async def __aexit__(self, exc_type, exc, tb):
        self.release()
