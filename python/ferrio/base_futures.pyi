"""Types of `ferrio.base_futures`: those of `asyncio.base_futures`."""

from asyncio.base_futures import *
