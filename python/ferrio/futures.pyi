"""Types of `ferrio.futures`: those of `asyncio.futures`."""

import sys
from asyncio.futures import *

if sys.version_info < (3, 14):
    from ._newer import future_add_to_awaited_by as future_add_to_awaited_by
    from ._newer import future_discard_from_awaited_by as future_discard_from_awaited_by
