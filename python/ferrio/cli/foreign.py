"""Loops that are not ferrio's: the line that says so, and how each server is told to leave them.

Some servers look for uvloop by name and take it where it is installed, whatever their asyncio is.  The program then
runs on uvloop, and nothing about it would tell.
"""

import sys

# A module that is run or imported, what it does, and what to do about it.
SERVERS = {
    "uvicorn": ("takes uvloop if it is installed", "--loop asyncio"),
    "granian": ("takes rloop, or else uvloop, if one is installed", "--loop asyncio"),
    "sanic": ("takes uvloop if it is installed", "SANIC_USE_UVLOOP=false in its environment"),
    "hypercorn": ("takes uvloop only if it is told to", "no --worker-class uvloop"),
    "gunicorn": (
        "has workers that take uvloop",
        "-k uvicorn_worker.UvicornH11Worker or -k aiohttp.GunicornWebWorker",
    ),
}

# What those servers look for.
LOOPS = ("uvloop", "rloop", "zuvloop")


def watch():
    """Say on stderr which loop runs, if the first one that is not ferrio's begins to."""
    from .._native import _watch_for_foreign_loop

    _watch_for_foreign_loop(_tell)


def _tell(loop):
    if not sys.stderr:
        return
    kind = type(loop)
    loaded = [(name, remedy) for name, (_, remedy) in SERVERS.items() if name in sys.modules]
    remedies = "; ".join(f"{name}: {remedy}" for name, remedy in loaded)
    advice = remedies or "the program or a library of its chooses it by name"
    print(
        f"ferrio: this runs on {kind.__module__}.{kind.__qualname__}, not on ferrio's event loop. "
        f"To have ferrio instead: {advice}",
        file=sys.stderr,
    )


def report(module):
    """What `ferrio doctor -m MODULE` says about the loop: a list of lines."""
    from importlib.util import find_spec

    installed = [name for name in LOOPS if find_spec(name) is not None]
    name = module.partition(".")[0]
    lines = [f"module     {module}: {'installed' if find_spec(name) else 'not installed'}"]
    lines.append(f"loops      {', '.join(installed) or 'none but ferrio'}")
    if name in SERVERS:
        habit, remedy = SERVERS[name]
        lines.append(f"its loop   {name} {habit}; to have ferrio: {remedy}")
    else:
        lines.append(
            f"its loop   ferrio's, unless {name} chooses another by name; `ferrio run` says so if it does"
        )
    return lines
