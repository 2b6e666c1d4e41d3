"""Types of `ferrio.coroutines`: those of `asyncio.coroutines`."""

from asyncio.coroutines import *
