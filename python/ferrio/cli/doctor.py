"""`ferrio doctor`: what this installation is, what it runs on, what it has and has not."""

import platform
import sys

from .. import _ferrio
from .._not_yet import missing
from .._submodules import SUBMODULES
from .._version import __version__
from . import NOT_BUILT, fail, foreign

USAGE = "usage: ferrio doctor [-m MODULE]"


def main(argv=()):
    """Print the report; returns the exit status."""
    if argv and (argv[0] != "-m" or len(argv) != 2):
        return fail(USAGE)
    print(f"ferrio     {__version__}")
    print(f"extension  {getattr(_ferrio, '__file__', 'unknown')}")
    print(f"python     {platform.python_implementation()} {platform.python_version()} ({sys.executable})")
    print(f"system     {platform.platform()}")
    for name, state in _ferrio._driver_report().items():
        print(f"{name:10} {state}")
    print(f"pidfd      {_yes_no(_pidfd())}")
    print(f"not yet    {_listed(_missing())}")
    for line in foreign.report(argv[1]) if argv else ():
        print(line)
    print(f"commands   run, doctor; not yet: {_listed(sorted(NOT_BUILT))}")
    return 0


def _missing():
    """What this extension lacks of all that the package asks it for."""
    for name in SUBMODULES:
        __import__(f"{__package__.partition('.')[0]}.{name}")
    return missing()


def _pidfd():
    from ..unix_events import can_use_pidfd

    return can_use_pidfd()


def _yes_no(value):
    return "yes" if value else "no"


def _listed(names):
    return ", ".join(names) or "nothing"
