"""Types of `ferrio.mixins`: those of `asyncio.mixins`."""

from asyncio.mixins import *
