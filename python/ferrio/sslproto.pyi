"""Types of `ferrio.sslproto`: those of `asyncio.sslproto`."""

from asyncio.sslproto import *
