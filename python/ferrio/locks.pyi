"""Types of `ferrio.locks`: those of `asyncio.locks`."""

from asyncio.locks import *
