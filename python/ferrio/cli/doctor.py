"""`ferrio doctor`: what this installation is, what it runs on, what it has and has not.

Where something that programs need does not work, the last lines say what, and the exit status is 1.
"""

import os
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
    problems = _problems_of_a_loop()
    for name, state in _ferrio._driver_report().items():
        print(f"{name:10} {state}")
        if state.startswith("unknown value"):
            problems.append(f"no {name}: {state}")
    print(f"pidfd      {_yes_no(_pidfd())}")
    print(f"settings   {_listed(_settings(problems))}")
    print(f"not yet    {_listed(_missing())}")
    for line in foreign.report(argv[1]) if argv else ():
        print(line)
    print(f"commands   run, doctor, ps, pstree; not yet: {_listed(sorted(NOT_BUILT))}")
    for problem in problems:
        print(f"PROBLEM    {problem}")
    return 1 if problems else 0


# The variables of the environment that ferrio looks at.
SETTINGS = {
    "FERRIO_CHILD_WATCHER",
    "FERRIO_DRIVER",
    "FERRIO_FILES",
    "FERRIO_GATHER_WRITES",
    "FERRIO_IO_URING",
    "FERRIO_MONITOR",
    "FERRIO_SPAWN",
    "FERRIO_TLS",
}


def _problems_of_a_loop():
    """Why there can be no event loop, as a list."""
    from ..unix_events import EventLoop

    try:
        EventLoop().close()
    except (OSError, ValueError) as exc:
        return [f"no event loop: {exc}"]
    return []


def _settings(problems):
    """What the environment sets."""
    found = {
        name: value for name, value in sorted(os.environ.items()) if name.startswith("FERRIO_") and value
    }
    for name in found:
        # FERRIO_TEST_..., FERRIO_EXAMPLES and their like are the tests'; a variable that is nearly one of ours is not.
        if name not in SETTINGS and _near(name):
            problems.append(f"{name} is no setting of ferrio's; did you mean {_near(name)}?")
    return [f"{name}={value}" for name, value in found.items() if name in SETTINGS]


def _near(name):
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, sorted(SETTINGS), 1, 0.8)), None)


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
