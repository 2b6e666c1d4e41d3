"""Types of `ferrio.format_helpers`: those of `asyncio.format_helpers`."""

from asyncio.format_helpers import *
