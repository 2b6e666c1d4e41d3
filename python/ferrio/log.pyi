"""Types of `ferrio.log`: those of `asyncio.log`."""

from asyncio.log import *
