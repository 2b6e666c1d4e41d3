"""Which modules have taken names out of stock asyncio before ferrio was installed.

`from asyncio import Task` puts stock's class into the module's own globals, and installing ferrio cannot reach it
there.  Nothing breaks by that, since both asyncios work together in one process; but `from asyncio import run` goes on
running stock's event loop, and nothing would tell.
"""

import sys
from types import BuiltinFunctionType, FunctionType, ModuleType

_KINDS = (type, FunctionType, BuiltinFunctionType)


def taken(replaced):
    """The names in each module that are objects out of *replaced*, a set of ids.

    Modules of the standard library are left out: nobody can load them later.
    """
    found = {}
    for module_name, module in list(sys.modules.items()):
        top = module_name.partition(".")[0]
        if top in sys.stdlib_module_names or top == __name__.partition(".")[0]:
            continue
        if not isinstance(module, ModuleType):
            continue
        # Past the module's own ways: one that is loaded when it is looked at is left alone.
        namespace = ModuleType.__getattribute__(module, "__dict__")
        names = sorted(
            name
            for name, value in list(namespace.items())
            if id(value) in replaced and isinstance(value, _KINDS)
        )
        if names:
            found[module_name] = names
    return found


def warn(replaced):
    """Name them in a RuntimeWarning, if there are any, as if from the line that called the caller."""
    found = taken(replaced)
    if not found:
        return
    import warnings

    listed = "; ".join(f"{module}: {', '.join(names)}" for module, names in sorted(found.items()))
    warnings.warn(
        f"these modules took names out of asyncio before ferrio was installed, and keep asyncio's own: {listed}. "
        "To have ferrio's there too, call ferrio.install() before they are imported, or start the program with "
        "`ferrio run`.",
        RuntimeWarning,
        stacklevel=3,
    )
