"""Types of `ferrio.unix_events`: those of `asyncio.unix_events`."""

from asyncio.unix_events import *
