"""Types of `ferrio.base_subprocess`: those of `asyncio.base_subprocess`."""

from asyncio.base_subprocess import *
