"""The mixin that binds an object to the first loop it is used in.

asyncio's own locks and queues are native here; the class is for those who build theirs on it.
"""

from _thread import allocate_lock

from . import events
from ._lazy import attributes

__getattr__ = attributes(__name__, "threading")

_global_lock = allocate_lock()


class _LoopBoundMixin:
    _loop = None

    def _get_loop(self):
        loop = events._get_running_loop()
        if self._loop is None:
            with _global_lock:
                if self._loop is None:
                    self._loop = loop
        if loop is not self._loop:
            raise RuntimeError(f"{self!r} is bound to a different event loop")
        return loop
