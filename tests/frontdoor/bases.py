"""On which base classes a method can be replaced for all that derive from them; test_bases.py starts this.

Prints a list of [class, base class, method]: what is set on the base class under that name is what the class has then.
"""

import asyncio
import importlib
import inspect
import json
import sys

# What programs are handed instances of, and derive their own from.
CLASSES = [
    "selector_events._SelectorSocketTransport",
    "selector_events._SelectorDatagramTransport",
    "unix_events._UnixReadPipeTransport",
    "unix_events._UnixWritePipeTransport",
    "unix_events._UnixSubprocessTransport",
    "unix_events._UnixSelectorEventLoop",
    "sslproto._SSLProtocolTransport",
    "sslproto.SSLProtocol",
    "base_events.Server",
    "streams.StreamReaderProtocol",
    "queues.LifoQueue",
    "queues.PriorityQueue",
    "locks.BoundedSemaphore",
    "tasks.Task",
]
SPECIAL = ["__aenter__", "__aexit__"]


def named(path):
    """The class of that name, or None where it is not there or stands for what is not built."""
    module, _, name = path.partition(".")
    found = getattr(importlib.import_module(f"asyncio.{module}"), name, None)
    return None if any(base.__name__ == "NotYet" for base in getattr(found, "__mro__", ())) else found


def module_of(cls):
    return cls.__module__.rpartition(".")[2]


def is_seen(cls, base, name):
    """Whether what is set on *base* is what *cls* has."""
    own = vars(base).get(name)
    marker = object()
    setattr(base, name, marker)
    try:
        return inspect.getattr_static(cls, name) is marker
    finally:
        if own is None:
            delattr(base, name)
        else:
            setattr(base, name, own)


def asked():
    """What there is to ask: [class, base, method], by asyncio's own bases."""
    for path in CLASSES:
        cls = named(path)
        if cls is None:
            continue
        for base in cls.__mro__[1:-1]:
            # A class of C takes nothing.
            if base.__flags__ & (1 << 8):
                continue
            for name in dir(cls):
                if (not name.startswith("_") or name in SPECIAL) and callable(getattr(cls, name)):
                    yield path, f"{module_of(base)}.{base.__name__}", name


def main(questions):
    """Print those of the questions to which the answer is yes."""
    seen = []
    for path, base_path, name in questions:
        cls, base = named(path), named(base_path)
        if cls is None:
            seen.append([path, base_path, name])  # not built
        elif base is not None and hasattr(cls, name) and is_seen(cls, base, name):
            seen.append([path, base_path, name])
    print(json.dumps(seen))


assert asyncio.BaseTransport
if len(sys.argv) == 1:
    main(list(asked()))
else:
    with open(sys.argv[1]) as file:
        main(json.load(file))
