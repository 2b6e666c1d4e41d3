"""Install a package under the name ``asyncio``, in the process that imports this file.

The test process imports it, and so does every ``python -c`` child that a test starts (``bootstrap_code``
loads this one file by its path), which is why it stands alone.  Nothing in here may import asyncio, not
even indirectly: the stock library must not be in the process before the package under test has taken its
name.
"""

import contextlib
import importlib
import importlib.util
import os
import sys

# In the environment of a test process: which package its multiprocessing descendants are to install.
ENV_ALIAS = "ASYNCIO_CONFORMANCE_ALIAS"  # JSON {"package": NAME, "path": [DIR, ...]}


def stock_dir():
    import sysconfig

    return os.path.realpath(os.path.join(sysconfig.get_path("stdlib"), "asyncio"))


def is_stock(module):
    """True if *module* is a file of the interpreter's own asyncio package."""
    path = getattr(module, "__file__", None)
    if not path:
        return False
    path = os.path.realpath(path)
    if path.endswith(".pyc"):
        path = os.path.dirname(os.path.dirname(path)) + os.sep
    return path.startswith(stock_dir() + os.sep)


class AliasFinder:
    """Resolve ``asyncio.X`` to ``PACKAGE.X`` and to nothing else."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        if not fullname.startswith("asyncio."):
            return None
        from importlib.machinery import ModuleSpec

        real = self.package + fullname[len("asyncio") :]
        try:
            module = importlib.import_module(real)
        except ModuleNotFoundError as exc:
            if exc.name == real:
                # Do not let the path finder look into the package's directory
                # a second time under the other name, nor find the stock one.
                raise ModuleNotFoundError(
                    f"No module named {fullname!r} ({self.package} has no such submodule)", name=fullname
                ) from None
            raise
        return ModuleSpec(fullname, AliasLoader(module))


class AliasLoader:
    def __init__(self, module):
        self.module = module
        self.spec = getattr(module, "__spec__", None)

    def create_module(self, spec):
        return self.module

    def exec_module(self, module):
        with contextlib.suppress(AttributeError):  # no module needs to have attributes
            module.__spec__ = self.spec  # importlib has overwritten it


def install(package, path=(), strict=True):
    """Make ``import asyncio`` give *package*.  Returns a report (a dict)."""
    for entry in reversed(list(path)):
        if entry not in sys.path:
            sys.path.insert(0, entry)
    report = {
        "package": package,
        "how": "stock",
        "imports_stock": False,
        "c_asyncio": "stock",
        "stock_submodules": [],
        "missing_submodules": [],
        "broken_submodules": {},
    }
    if package == "asyncio":
        importlib.import_module("asyncio")
        return report

    if strict and "asyncio" in sys.modules:
        raise RuntimeError("asyncio was imported before the package could be")
    pkg = importlib.import_module(package)
    pkg = sys.modules[package]
    report["imports_stock"] = any(
        (name == "asyncio" or name.startswith("asyncio.")) and is_stock(mod)
        for name, mod in list(sys.modules.items())
    )

    hook = getattr(pkg, "install_as_asyncio", None)
    if callable(hook):
        report["how"] = "install_as_asyncio()"
        hook()
        root = sys.modules.get("asyncio")
        if root is None or is_stock(root):
            raise RuntimeError(
                f"{package}.install_as_asyncio() left the stock "
                f"library (or nothing) as sys.modules['asyncio']"
            )
    else:
        report["how"] = "generic aliasing"
        _alias_generic(package, pkg, report)
        sys.meta_path.insert(0, AliasFinder(package))

    # The C accelerator belongs to the stock library: tests that find it would
    # test that.  A package may offer its own under the same name.
    own = sys.modules.get(package + "._asyncio") or getattr(pkg, "_asyncio", None)
    if own is not None:
        sys.modules["_asyncio"] = own
        report["c_asyncio"] = "the package's"
    elif report["imports_stock"]:
        report["c_asyncio"] = "stock (the package imports the stock library)"
    elif sys.modules.get("_asyncio") is None:
        sys.modules["_asyncio"] = None  # import _asyncio -> ImportError
        report["c_asyncio"] = "blocked"
    else:
        report["c_asyncio"] = "stock (LOADED BY THE PACKAGE)"

    known = sorted(
        name[:-3] for name in os.listdir(stock_dir()) if name.endswith(".py") and not name.startswith("__")
    )
    for name in known:
        mod = sys.modules.get("asyncio." + name)
        if mod is None:
            report["missing_submodules"].append(name)
        elif is_stock(mod):
            report["stock_submodules"].append(name)
    return report


def _alias_generic(package, pkg, report):
    import pkgutil
    import types

    # What the package itself drags in under the stock names.
    stock = {
        name: mod
        for name, mod in list(sys.modules.items())
        if name == "asyncio" or name.startswith("asyncio.")
    }

    # Import every submodule the package has as a file.
    for info in pkgutil.walk_packages(getattr(pkg, "__path__", ()), package + "."):
        if info.name.rpartition(".")[2].startswith("__"):
            continue
        try:
            importlib.import_module(info.name)
        except Exception as exc:  # e.g. windows_events on Linux
            report["broken_submodules"][info.name] = f"{type(exc).__name__}: {exc}"

    subs = {}
    # Re-exported modules first (a package may legitimately say
    # "from asyncio import constants"; it is reported), own ones win.
    for name, value in list(vars(pkg).items()):
        if not isinstance(value, types.ModuleType):
            continue
        ours = value.__name__ in (package + "." + name, "asyncio." + name)
        # an extension module's submodule with a short name, as opposed to a plain "import signal"
        short = value.__name__ == name and value is not sys.modules.get(name)
        if ours or short:
            subs[name] = value
    for name, value in list(sys.modules.items()):
        if name.startswith(package + "."):
            subs[name[len(package) + 1 :]] = value

    for name in stock:
        sys.modules.pop(name, None)
    sys.modules["asyncio"] = pkg
    for name, value in subs.items():
        if value is not None:
            sys.modules["asyncio." + name] = value
            if "." not in name and not hasattr(pkg, name):
                setattr(pkg, name, value)


def bootstrap_code(package, path):
    """Source of a ``-c`` prologue that installs *package* in a grandchild."""
    here = os.path.abspath(__file__)
    return (
        f"import importlib.util as _u, sys as _s;"
        f"_p=_u.spec_from_file_location('_conformance_install', {here!r});"
        f"_m=_u.module_from_spec(_p);_p.loader.exec_module(_m);"
        f"_m.install({package!r}, {list(path)!r});"
        f"del _u, _s, _p, _m\n"
    )
