"""Types of `ferrio.timeouts`: those of `asyncio.timeouts`."""

from asyncio.timeouts import *
