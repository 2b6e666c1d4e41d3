"""Types of `ferrio.selector_events`: those of `asyncio.selector_events`."""

from asyncio.selector_events import *
