"""Types of `ferrio.proactor_events`: those of `asyncio.proactor_events`."""

from asyncio.proactor_events import *
