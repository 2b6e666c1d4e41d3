"""Do something to a module the moment it has been loaded, before its importer sees it.

Two rooms need it: `_family` gives stock asyncio our exception classes, and `install` lets spawned children follow
their parent.  Both concern modules that may never be imported, and that ferrio must not import itself.  The module is
found and executed by what would have done it anyway; nothing about how it is loaded changes.
"""

import sys


class _Loader:
    """The module's own loader, which calls back once the module has been executed."""

    def __init__(self, loader, action):
        self._loader = loader
        self._action = action

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        # Put back first: inspect, linecache and reload() are to find the loader they know.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._action(module)


class _Finder:
    """A meta path finder that finds nothing itself: it asks the finders behind it and wraps the loader."""

    def __init__(self):
        self.actions = {}

    def find_spec(self, fullname, path=None, target=None):
        action = self.actions.get(fullname)
        if action is None:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec = find_spec(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, action)
                return spec
        return None


_finder = _Finder()


def after_load(name, action):
    """Call `action(module)` right after the module *name* has been executed, each time that happens.

    A module that is loaded already is not touched; one action per module.
    """
    _finder.actions[name] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
