"""Types of `ferrio.protocols`: those of `asyncio.protocols`."""

from asyncio.protocols import *
