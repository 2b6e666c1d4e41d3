"""`import ferrio` loads next to nothing; what it loads is what it costs."""

# What asyncio's own import spends its time on, and asyncio itself.
HEAVY = {
    "_asyncio",
    "asyncio",
    "concurrent.futures",
    "enum",
    "inspect",
    "logging",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "traceback",
    "typing",
}

# `os` first: outside of these tests every interpreter has it, through site.
LOADED = """
import os, sys
before = set(sys.modules)
import ferrio
{}

# A module that is in place, and that nobody has looked at, has cost nothing.
def is_loaded(name):
    return type(sys.modules[name]).__name__ != "_Later"

print(*sorted(filter(is_loaded, set(sys.modules) - before)))
"""


def loaded(python, statement="pass"):
    # Without site, whose .pth files may load anything; what they would have put on the path is given instead.
    import os
    import sys

    done = python(
        "-S", "-c", LOADED.format(statement), PYTHONPATH=os.pathsep.join(filter(None, sys.path)), check=True
    )
    return set(done.stdout.split())


def test_import_ferrio(python):
    modules = loaded(python)
    assert modules & HEAVY == set()
    assert {name for name in modules if not name.startswith("ferrio")} == set()


def test_install(python):
    assert loaded(python, "ferrio.install()") & (HEAVY - {"asyncio", "_asyncio"}) == set()


def test_every_submodule(python):
    modules = loaded(python, "for name in ferrio._SUBMODULES: __import__(f'ferrio.{name}')")
    assert modules & HEAVY == set()
    assert len({name for name in modules if name.startswith("ferrio.")}) > 30
