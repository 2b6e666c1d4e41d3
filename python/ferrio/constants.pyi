"""Types of `ferrio.constants`: those of `asyncio.constants`."""

from asyncio.constants import *
