"""Programs that do what nobody should do to an event loop; each in a process of its own.

``python survival.py MODULE NAME`` runs one. What it returns is its outcome: the last line that it prints.
"""

import importlib
import sys
from collections.abc import Callable
from typing import NamedTuple


class Program(NamedTuple):
    module: str
    function: Callable[[], object]
    outcome: str
    stock: str | None
    beyond: str | None


PROGRAMS: dict[str, Program] = {}


def program(outcome="done", *, stock=None, beyond=None):
    """A function that is to have *outcome*; on stock asyncio *stock*, where that is not the same.

    With *beyond*, stock does not survive it or does not have it, for the reason given.
    """

    def add(function):
        PROGRAMS[function.__name__] = Program(function.__module__, function, outcome, stock, beyond)
        return function

    return add


if __name__ == "__main__":
    module, name = sys.argv[1:]
    importlib.import_module(module)
    from survival import PROGRAMS as programs  # this file under the name that the module knows it by

    print(programs[name].function())
