"""What asyncio's objects have in their `__dict__` or their slots, as JSON; test_instance_attributes.py starts this.

instance_attributes.py          what stock's objects have, by the kind of object
instance_attributes.py NAMES    which of those in the file NAMES, another one's output, are not there
"""

import asyncio
import json
import os
import sys

from attributes import subjects


def instance_attributes(obj):
    names = set(getattr(obj, "__dict__", ()))
    for cls in type(obj).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names.update([slots] if isinstance(slots, str) else slots)
    # Those of a class of C.
    names.update(
        name for name, value in vars(type(obj)).items() if type(value).__name__ == "getset_descriptor"
    )
    return sorted(name for name in names if not name.startswith("__") and hasattr(obj, name))


async def main(arguments):
    found = await subjects()
    async with asyncio.timeout(60) as timeout, asyncio.TaskGroup() as group:
        found |= {"Timeout in its block": timeout, "TaskGroup in its block": group}
        if arguments:
            with open(arguments[0]) as file:
                expected = json.load(file)
            result = {
                kind: [name for name in names if not hasattr(found[kind], name)]
                for kind, names in expected.items()
            }
        else:
            result = {kind: instance_attributes(obj) for kind, obj in found.items()}
    print(json.dumps(result))
    sys.stdout.flush()
    # Everything that was opened to have a look at it goes with the process.
    os._exit(0)


asyncio.run(main(sys.argv[1:]))
