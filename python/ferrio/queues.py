"""Queue, LifoQueue and PriorityQueue, native; and their exceptions."""

from ._lazy import attributes
from ._native import LifoQueue, PriorityQueue, Queue
from .exceptions import QueueEmpty, QueueFull, QueueShutDown

__all__ = ("LifoQueue", "PriorityQueue", "Queue", "QueueEmpty", "QueueFull", "QueueShutDown")

__getattr__ = attributes(__name__, "collections", "heapq", "locks", "mixins")
