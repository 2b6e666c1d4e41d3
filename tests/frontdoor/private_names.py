"""The names in asyncio's modules and classes, as JSON; test_private_names.py starts this.

private_names.py            all that asyncio has
private_names.py NAMES      which of those in the file NAMES, another one's output, are not there
"""

import asyncio
import importlib
import json
import pkgutil
import sys

# Not asyncio's own on this system, or made for the command line only.
LEFT_OUT = {"__main__", "windows_events", "windows_utils", "proactor_events", "tools"}


# What is imported from there is nobody's business.
FOREIGN = {"typing", "types"}


def names_of(obj):
    return sorted(name for name in dir(obj) if not name.startswith("__"))


def described():
    """Each module's names, with the members of those that are classes."""
    found = {}
    for info in pkgutil.iter_modules(asyncio.__path__):
        if info.name in LEFT_OUT:
            continue
        module = importlib.import_module(f"asyncio.{info.name}")
        members = found[info.name] = {}
        for name in names_of(module):
            value = getattr(module, name)
            if getattr(value, "__module__", None) not in FOREIGN:
                members[name] = names_of(value) if isinstance(value, type) else []
    return found


def missing(names):
    """Dotted names that are not there."""
    for module_name, expected in names.items():
        module = importlib.import_module(f"asyncio.{module_name}")
        for name, members in expected.items():
            if not hasattr(module, name):
                yield f"{module_name}.{name}"
                continue
            value = getattr(module, name)
            for member in members:
                if not hasattr(value, member):
                    yield f"{module_name}.{name}.{member}"


if len(sys.argv) == 1:
    print(json.dumps(described()))
else:
    with open(sys.argv[1]) as file:
        print(json.dumps(sorted(missing(json.load(file)))))
