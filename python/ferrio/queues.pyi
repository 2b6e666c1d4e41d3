"""Types of `ferrio.queues`: those of `asyncio.queues`."""

import sys

if sys.version_info < (3, 13):
    from ._newer import LifoQueue as LifoQueue
    from ._newer import PriorityQueue as PriorityQueue
    from ._newer import Queue as Queue
    from ._newer import QueueShutDown as QueueShutDown

from asyncio.queues import QueueEmpty as QueueEmpty
from asyncio.queues import QueueFull as QueueFull

if sys.version_info >= (3, 13):
    from asyncio.queues import LifoQueue as LifoQueue
    from asyncio.queues import PriorityQueue as PriorityQueue
    from asyncio.queues import Queue as Queue
    from asyncio.queues import QueueShutDown as QueueShutDown
