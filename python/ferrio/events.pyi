"""Types of `ferrio.events`: those of `asyncio.events`."""

from asyncio.events import *
