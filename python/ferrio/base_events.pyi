"""Types of `ferrio.base_events`: those of `asyncio.base_events`."""

from asyncio.base_events import *
