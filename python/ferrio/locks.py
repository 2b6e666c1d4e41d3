"""Lock, Event, Condition, Semaphore, BoundedSemaphore and Barrier; native."""

from ._native import Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore

__all__ = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore")
