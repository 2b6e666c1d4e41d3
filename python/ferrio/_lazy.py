"""What asyncio's modules have because they imported it: the logger, and modules of the standard library.

Programs and tests replace them there (`mock.patch("asyncio.base_events.logger")`), so they have to be there; but
`logging`, `socket` or `threading` each cost more to import than all of ferrio, so they come when asked for.
"""

import sys


def attributes(module_name, *names):
    """The `__getattr__` of a module that has these *names*: `logger`, or modules of the standard library."""

    def __getattr__(name):
        if name not in names:
            raise AttributeError(f"module {module_name!r} has no attribute {name!r}")
        if name == "logger":
            from .log import logger

            return logger
        __import__(name)
        return sys.modules[name]

    return __getattr__
