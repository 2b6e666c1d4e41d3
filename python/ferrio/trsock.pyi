"""Types of `ferrio.trsock`: those of `asyncio.trsock`."""

from asyncio.trsock import *
