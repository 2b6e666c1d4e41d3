"""What asyncio's modules have because they imported it: the logger, each other, and modules of the standard library.

Programs and tests replace them there (`mock.patch("asyncio.base_events.logger")`) and import through them
(`asyncio.tasks.events`), so they have to be there; but `logging`, `socket` or `threading` each cost more to import than
all of ferrio, so they come when asked for.
"""

import sys

from ._submodules import SUBMODULES

# asyncio has a module of that name too, and none of its others imports it.
_NEIGHBOURS = SUBMODULES - {"subprocess"}


def attributes(module_name, *names):
    """The `__getattr__` of a module that has these *names*: `logger`, neighbours, modules of the standard library."""

    def __getattr__(name):
        if name not in names:
            raise AttributeError(f"module {module_name!r} has no attribute {name!r}")
        if name == "logger":
            from .log import logger

            return logger
        if name in _NEIGHBOURS:
            name = f"{__package__}.{name}"
        __import__(name)
        return sys.modules[name]

    return __getattr__
