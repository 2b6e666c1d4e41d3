"""Types of `ferrio.threads`: those of `asyncio.threads`."""

from asyncio.threads import *
