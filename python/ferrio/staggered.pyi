"""Types of `ferrio.staggered`: those of `asyncio.staggered`."""

from asyncio.staggered import *
