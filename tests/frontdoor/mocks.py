"""What `unittest.mock` makes of asyncio's classes and methods, as JSON; test_mocks.py starts this."""

import asyncio
import importlib
import inspect
import json
from unittest import mock

MODULES = [
    "base_events",
    "events",
    "futures",
    "locks",
    "queues",
    "runners",
    "selector_events",
    "streams",
    "taskgroups",
    "tasks",
    "timeouts",
    "transports",
    "unix_events",
]


def classes():
    for name in MODULES:
        module = importlib.import_module(f"asyncio.{name}")
        for attribute, value in sorted(vars(module).items()):
            named_here = value.__module__.rpartition(".")[2] == name if inspect.isclass(value) else False
            # The enums' own methods are no matter of asyncio's.
            if named_here and attribute == value.__name__ and not hasattr(value, "__members__"):
                yield f"{name}.{attribute}", value


def methods(cls):
    for name in dir(cls):
        if not name.startswith("_") and callable(getattr(cls, name)):
            yield name


def outcome(function, *args, **kwargs):
    try:
        result = function(*args, **kwargs)
    except TypeError:
        return "TypeError"
    if inspect.iscoroutine(result):
        result.close()
        return "coroutine"
    return "called"


def outcomes(function):
    """What calling it with none, one ... five arguments does, and with one that no method has."""
    by_position = [outcome(function, *range(count)) for count in range(6)]
    return [*by_position, outcome(function, no_such_argument=1)]


def patched(cls, name):
    """What a method is given that is replaced with `autospec`."""
    try:
        patch = mock.patch.object(cls, name, autospec=True)
        with patch as replaced:
            kind = [
                "function" if inspect.isfunction(replaced) else "other",
                inspect.iscoroutinefunction(replaced),
            ]
            bound = inspect.getattr_static(cls, name)
            return [*kind, hasattr(type(bound), "__get__")]
    except TypeError:
        return ["a class of C takes nothing"]


def main():
    found = {}
    for path, cls in classes():
        instance, made = mock.create_autospec(cls, instance=True), mock.create_autospec(cls)
        for name in methods(cls):
            of_instance, of_class = getattr(instance, name), getattr(made, name)
            found[f"{path}.{name}"] = {
                "mock": [type(of_instance).__name__, type(of_class).__name__],
                "of an instance": outcomes(of_instance),
                "of the class": outcomes(of_class),
                "in its place": patched(cls, name),
            }
    print(json.dumps(found))


assert asyncio.Queue
main()
