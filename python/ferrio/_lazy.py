"""What asyncio's modules have because they imported it: the logger, each other, and modules of the standard library.

Programs and tests replace them there (`mock.patch("asyncio.base_events.logger")`) and import through them
(`asyncio.tasks.events`), so they have to be there; but `logging`, `socket` or `threading` each cost more to import than
all of ferrio, so they come when asked for.
"""

import sys

from ._submodules import SUBMODULES

# asyncio has a module of that name too, and none of its others imports it.
_NEIGHBOURS = SUBMODULES - {"subprocess"}


def attributes(module_name, *names, later=None, **enums):
    """The `__getattr__` of a module that has these *names*: `logger`, neighbours, modules of the standard library.

    later: names of the module's own, and the submodule of the package that has each of them.
    enums: the members, a dict of values, of each enum that the module has.
    """

    def __getattr__(name):
        if later and name in later:
            __import__(f"{__package__}.{later[name]}")
            return getattr(sys.modules[f"{__package__}.{later[name]}"], name)
        if name in enums:
            import enum

            made = enum.Enum(name, enums[name], module=module_name)
            setattr(sys.modules[module_name], name, made)
            return made
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
