"""Types of `ferrio.streams`: those of `asyncio.streams`."""

from asyncio.streams import *
