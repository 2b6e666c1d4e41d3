"""Which of asyncio's functions and methods are coroutine functions; test_coroutine_functions.py starts this.

coroutine_functions.py              name: what the standard library says of it, as JSON
"""

import asyncio
import functools
import importlib
import inspect
import json
import sys
import warnings
from unittest import mock

MODULES = (
    *("base_events", "coroutines", "events", "futures", "locks", "protocols", "queues", "runners"),
    *("selector_events", "staggered", "streams", "taskgroups", "tasks", "threads", "timeouts", "transports"),
    "unix_events",
)


def owners():
    """The modules, and the classes that they have for themselves or for everybody."""
    for name in MODULES:
        module = importlib.import_module("asyncio." + name)
        yield name, module
        for attribute, value in sorted(vars(module).items()):
            if inspect.isclass(value) and getattr(asyncio, attribute, None) is value:
                yield f"{name}.{attribute}", value


def answers(function):
    """What each part of the standard library says of a function."""
    said = [
        inspect.iscoroutinefunction(function),
        inspect.iscoroutinefunction(functools.partial(function)),
        isinstance(mock.create_autospec(function), mock.AsyncMock)
        or inspect.iscoroutinefunction(mock.create_autospec(function)),
    ]
    if sys.version_info < (3, 14):
        said.append(asyncio.iscoroutinefunction(function))
    return said


def main():
    found = {}
    for name, owner in owners():
        for attribute in sorted(dir(owner)):
            value = getattr(owner, attribute, None)
            # Names that begin with one underscore are those that test_private_names.py compares.
            private = attribute.startswith("_") and not attribute.startswith("__a")
            if private or inspect.isclass(value) or not callable(value):
                continue
            found[f"{name}.{attribute}"] = answers(value)
    instances = {
        "Barrier": asyncio.Barrier(1),
        "Condition": asyncio.Condition(),
        "Event": asyncio.Event(),
        "Lock": asyncio.Lock(),
        "PriorityQueue": asyncio.PriorityQueue(),
        "Queue": asyncio.Queue(),
        "Semaphore": asyncio.Semaphore(),
        "TaskGroup": asyncio.TaskGroup(),
        "Timeout": asyncio.Timeout(None),
        "loop": asyncio.new_event_loop(),
    }
    for name, instance in instances.items():
        spec = mock.MagicMock(spec=instance)
        autospec = mock.create_autospec(type(instance), instance=True)
        for attribute in sorted(dir(instance)):
            value = getattr(instance, attribute, None)
            private = attribute.startswith("_") and not attribute.startswith("__a")
            if private or inspect.isclass(value) or not callable(value):
                continue
            said = [inspect.iscoroutinefunction(value), inspect.iscoroutinefunction(functools.partial(value))]
            if not attribute.startswith("_"):
                said += [
                    isinstance(getattr(spec, attribute), mock.AsyncMock),
                    isinstance(getattr(autospec, attribute, None), mock.AsyncMock),
                ]
            found[f"{name}().{attribute}"] = said
    instances["loop"].close()
    json.dump(found, sys.stdout)


warnings.simplefilter("ignore")
main()
