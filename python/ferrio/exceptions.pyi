"""Types of `ferrio.exceptions`: those of `asyncio.exceptions`."""

from asyncio.exceptions import *
