"""Types of `ferrio.runners`: those of `asyncio.runners`."""

from asyncio.runners import *
