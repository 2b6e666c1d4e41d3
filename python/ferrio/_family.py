"""One class object under both names, ferrio's and stock asyncio's, whichever is imported first.

A process may hold both worlds, and `except asyncio.CancelledError` in a library that imports stock has to catch what
ferrio raises.  If the stock module is loaded, its classes are used.  If not, ours are offered: when stock is imported
later, its module is given our classes as soon as it has been executed and before anything (the rest of the package,
the C accelerator) has taken a class out of it.  Putting a ready-made module into `sys.modules` does not work: the
package would then lack the attribute.

Only classes that are looked at across the border belong here: exceptions, and the abstract bases that stock and
libraries ask for with isinstance (`set_event_loop` refuses a loop that is not an AbstractEventLoop).  Transports do
not: stock's BaseTransport has a slot, and no native class can be laid out beside it.
"""

import sys

from ._import_hook import after_load


def one_family(stock_name, namespace, names):
    """Make each class in *names* the same object in *namespace* (our module) and in the module *stock_name*.

    A name that this Python's own asyncio lacks stays ours.
    """
    stock = sys.modules.get(stock_name)
    if stock is not None:
        for name in names:
            if hasattr(stock, name):
                namespace[name] = getattr(stock, name)
        return
    offered = {name: namespace[name] for name in names}
    for cls in offered.values():
        # What pickle writes down, and what a traceback shows, is the name that other processes know.
        cls.__module__ = stock_name

    def give(module):
        for name, cls in offered.items():
            theirs = getattr(module, name, None)
            if theirs is None:
                continue
            setattr(module, name, cls)
            # A class that the module itself derives (the default policy from the abstract one) moves along.
            for derived in theirs.__subclasses__():
                derived.__bases__ = tuple(cls if base is theirs else base for base in derived.__bases__)

    after_load(stock_name, give)
