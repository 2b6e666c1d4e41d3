"""Types of `ferrio.transports`: those of `asyncio.transports`."""

from asyncio.transports import *
