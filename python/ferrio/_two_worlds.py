"""Stock asyncio in the same process is made known to the extension, as soon as both are loaded.

The extension then tells stock which loop runs and which task is current, and asks it for what it does not know itself.
What is left to do from here is the registry that stock's `all_tasks()` goes through.
"""

import sys

from ._import_hook import after_load
from ._native import _every_task, _meet_stock


def meet_stock():
    """Meet stock asyncio if it is loaded, or when it is."""
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is not None and "_asyncio" in sys.modules:
        _meet(tasks)
    else:
        after_load("asyncio.tasks", _meet)


def _meet(tasks):
    accelerator = sys.modules.get("_asyncio")
    if accelerator is None:
        # A Python without the C module, or one in which a test has hidden it.
        return
    _share_registry(accelerator)
    _meet_stock(accelerator, tasks.all_tasks)


def _share_registry(accelerator):
    """Have who goes through stock's set of tasks, those that are not of its C class since 3.14, get ours too."""
    from _weakrefset import WeakSet

    class Registry(WeakSet):
        def __iter__(self):
            yield from super().__iter__()
            yield from _every_task()

    for name in ("_all_tasks", "_scheduled_tasks"):
        if hasattr(accelerator, name):
            getattr(accelerator, name).__class__ = Registry
            return
    # Since 3.14 it has no name, but the module still holds it.
    import gc

    for held in gc.get_referents(accelerator):
        if type(held) is WeakSet:
            held.__class__ = Registry
