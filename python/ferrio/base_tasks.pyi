"""Types of `ferrio.base_tasks`: those of `asyncio.base_tasks`."""

from asyncio.base_tasks import *
