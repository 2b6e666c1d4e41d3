"""Types of `ferrio.tasks`: those of `asyncio.tasks`."""

import sys

if sys.version_info < (3, 12):
    from ._newer import create_eager_task_factory as create_eager_task_factory
    from ._newer import eager_task_factory as eager_task_factory

from asyncio.tasks import *
