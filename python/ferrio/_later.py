"""Modules that are in `sys.modules` before they are loaded; the first look at one loads it.

`import asyncio` leaves all of asyncio's modules in `sys.modules`, and people look for them there: C extensions by
`PyImport_AddModule()`, which makes an empty one of what it does not find, and code that asks whether asyncio has
been imported.  Loading them all would undo what the lazy names of the package save.

`importlib.util.LazyLoader` is much the same, but has to find each module's file first, and lets another thread see a
module that is half loaded.
"""

import sys
from _frozen_importlib import _ModuleLockManager, module_from_spec
from _thread import get_ident

_Module = type(sys)

# Which thread is loading which module: its own code has to see the module as it is so far.
_loading = {}


class _Later(_Module):
    """A module that nobody has looked at yet."""

    def __getattribute__(self, name):
        _load(self)
        return _Module.__getattribute__(self, name)

    def __setattr__(self, name, value):
        _load(self)
        _Module.__setattr__(self, name, value)

    def __delattr__(self, name):
        _load(self)
        _Module.__delattr__(self, name)


def put_in_place(name):
    """Put a module of this *name*, which can be imported, into `sys.modules` without loading it; returns it."""
    module = sys.modules[name] = _Later(name)
    return module


def _load(module):
    namespace = object.__getattribute__(module, "__dict__")
    name = namespace["__name__"]
    if _loading.get(name) == get_ident():
        return
    # The import system's own lock: it finds out when two threads wait for each other's modules.
    with _ModuleLockManager(name):
        if type(module) is not _Later:
            return
        _loading[name] = get_ident()
        try:
            spec = _spec_of(name)
            namespace.update(vars(module_from_spec(spec)))
            spec.loader.exec_module(module)
            _Module.__setattr__(module, "__class__", _Module)
        finally:
            del _loading[name]


def _spec_of(name):
    parent = name.rpartition(".")[0]
    path = sys.modules[parent].__path__ if parent else None
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
