"""How ferrio becomes `asyncio` for the rest of the process.

`sys.modules` is what an import looks at, so that is where the names are changed.  Submodules are taken over when they
are imported, as ferrio loads its own then.  If stock asyncio is loaded already, modules hold its module objects in
their globals; these get ferrio's attributes, so that both objects give the same.
"""

import sys

from ._later import put_in_place
from ._submodules import IMPORTED_WITH_ASYNCIO, SUBMODULES

_PACKAGE = __name__.rpartition(".")[0]


def install():
    """Make `import asyncio` mean ferrio, in every module that is imported from now on.

    Call it first thing in a program.  Modules that did `import asyncio` before see ferrio's names too, because the
    stock module objects are changed in place.  Modules that did `from asyncio import Task` before keep what they
    have, since nothing can reach it: a RuntimeWarning lists those names, and what to do.  Calling it again does
    nothing.

    Processes started through multiprocessing's spawn and forkserver get ferrio as well.

    Raises RuntimeError if a stock event loop is running in this thread: half of its parts would be replaced under it.
    """
    package = sys.modules[_PACKAGE]
    stock = {
        name: module
        for name, module in sys.modules.items()
        if (name == "asyncio" or name.startswith("asyncio.")) and module is not None
    }
    if stock.get("asyncio") is package:
        return
    if stock and stock["asyncio"]._get_running_loop() is not None:
        raise RuntimeError("ferrio.install() cannot replace asyncio while one of its event loops is running")

    # Loaded before stock's is out of sight: they decide by it whose classes the family has.
    for name in ("exceptions", "events", "protocols"):
        _ours(name)
    _before.update(stock, _asyncio=sys.modules.get("_asyncio"))
    for name, module in stock.items():
        _patch(module, name)
    sys.modules["asyncio"] = package
    for name in SUBMODULES:
        loaded = sys.modules.get(f"{_PACKAGE}.{name}")
        if loaded is not None:
            sys.modules[f"asyncio.{name}"] = loaded
        elif f"asyncio.{name}" in stock:
            sys.modules[f"asyncio.{name}"] = _ours(name)
        elif name in IMPORTED_WITH_ASYNCIO:
            module = put_in_place(f"{_PACKAGE}.{name}")
            sys.modules[f"asyncio.{name}"] = module
            setattr(package, name, module)
    if "concurrent.futures" not in sys.modules:
        # With asyncio comes `concurrent.futures` under its bare package: `import asyncio, concurrent`.
        if "concurrent" not in sys.modules:
            put_in_place("concurrent")
        vars(sys.modules["concurrent"])["futures"] = put_in_place("concurrent.futures")
    sys.modules["_asyncio"] = _ours("_asyncio")
    sys.meta_path.insert(0, _finder)
    _follow_into_children()
    if _patched:
        from ._names_taken import warn

        # The last thing: a warning may be an error.
        warn({id(old) for _, _, old in _patched})


install_as_asyncio = install


def uninstall():
    """Undo `install()`: `import asyncio` means stock asyncio again; for tests.

    Stock modules that were changed in place get their own attributes back.  Modules that did `import asyncio` meanwhile
    keep ferrio, since nothing can reach their globals.  Does nothing if ferrio is not installed.

    Raises RuntimeError if an event loop is running in this thread: what it calls would be replaced under it.
    """
    package = sys.modules[_PACKAGE]
    if sys.modules.get("asyncio") is not package:
        return
    if package._get_running_loop() is not None:
        raise RuntimeError("ferrio.uninstall() cannot give asyncio back while an event loop is running")
    sys.meta_path.remove(_finder)
    while _patched:
        module, attribute, old = _patched.pop()
        if old is _MISSING:
            delattr(module, attribute)
        else:
            setattr(module, attribute, old)
    for name in [name for name in sys.modules if name.startswith("asyncio.")]:
        del sys.modules[name]
    for name, module in _before.items():
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module
    if "asyncio" not in _before:
        del sys.modules["asyncio"]
    _before.clear()


# What `sys.modules` had: stock's modules and its accelerator.
_before = {}

# What was changed in stock's modules: the module, the attribute, and what it was before.
_patched = []
_MISSING = object()


def _ours(name):
    __import__(f"{_PACKAGE}.{name}")
    return sys.modules[f"{_PACKAGE}.{name}"]


def _patch(module, stock_name):
    """Give a stock module every attribute of its counterpart."""
    if stock_name == "asyncio":
        ours = sys.modules[_PACKAGE]
        names = dir(ours)
    else:
        submodule = stock_name.partition(".")[2]
        if submodule not in SUBMODULES:
            return
        ours = _ours(submodule)
        names = vars(ours)
    for name in list(names):
        value = getattr(ours, name)
        # Not what our modules import for themselves.
        if not name.startswith("__") and (not isinstance(value, type(sys)) or name in SUBMODULES):
            _replace(module, name, value)
    _replace(module, "__all__", getattr(ours, "__all__", ()))
    lazy = getattr(ours, "__getattr__", None)
    if lazy is not None:
        _replace(module, "__getattr__", lazy)


def _replace(module, name, value):
    """Set an attribute of a stock module, and remember what it was."""
    old = vars(module).get(name, _MISSING)
    if old is not value:
        _patched.append((module, name, old))
        setattr(module, name, value)


class _Finder:
    """Finds `asyncio.X`: it is ferrio's X, or nothing at all."""

    def find_spec(self, fullname, path=None, target=None):
        parent, _, name = fullname.partition(".")
        if parent != "asyncio" or not name:
            return None
        if name == "__main__":
            # runpy wants code, not a module: `python -m asyncio` is the REPL.
            from importlib.util import spec_from_file_location

            return spec_from_file_location(fullname, sys.modules[_PACKAGE].__path__[0] + "/__main__.py")
        if name not in SUBMODULES:
            # Not None: the path finder would look for it among ferrio's files.
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        from importlib.machinery import ModuleSpec

        ours = _ours(name)
        return ModuleSpec(fullname, _Loader(ours), origin=ours.__file__)


_finder = _Finder()


class _Loader:
    """Hands out a module that is loaded already."""

    def __init__(self, module):
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec):
        return self._module

    def exec_module(self, module):
        # The import system has just put the alias's spec there.
        module.__spec__ = self._spec


class _InstallWhenUnpickled:
    """Part of what a spawned child is told to prepare: unpickling it installs ferrio there."""

    def __reduce__(self):
        import os

        place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        code = (
            "import sys\n"
            f"if {place!r} not in sys.path: sys.path.append({place!r})\n"
            f"import {_PACKAGE}\n"
            f"{_PACKAGE}.install()\n"
        )
        if f"{_PACKAGE}.cli.foreign" in sys.modules:
            # The parent is run by `ferrio run`, which reports loops that are not ferrio's.
            code += f"from {_PACKAGE}.cli.foreign import watch\nwatch()\n"
        return exec, (code, {})


# Whether multiprocessing has been told; it is once, and looks itself whether ferrio is installed.
_followed = False


def _follow_into_children():
    """Have multiprocessing tell its children to install ferrio too, before they import the parent's main module."""
    global _followed
    if _followed:
        return
    _followed = True

    def extend(spawn):
        original = spawn.get_preparation_data

        def get_preparation_data(name):
            data = original(name)
            if sys.modules.get("asyncio") is not sys.modules[_PACKAGE]:
                return data
            return {_PACKAGE: _InstallWhenUnpickled(), **data}

        spawn.get_preparation_data = get_preparation_data

    loaded = sys.modules.get("multiprocessing.spawn")
    if loaded is not None:
        extend(loaded)
        return
    from ._import_hook import after_load

    after_load("multiprocessing.spawn", extend)
