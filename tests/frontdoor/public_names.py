"""asyncio's public names and the members of its classes, as JSON; `api/make.py` and test_names.py start this.

A class is its bases and its members; a member is what kind of thing it is: "method", "async method" (a coroutine
function), "classmethod", "staticmethod", "property" (whatever computes a value), or "value".
"""

import asyncio
import inspect
import json

# How a class was made, and what the interpreter and `typing.final` put there. Whether there is a finalizer, and of
# what kind, is the implementation's affair.
NOT_MEMBERS = {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__del__",
    "__dict__",
    "__final__",
    "__firstlineno__",
    "__match_args__",
    "__module__",
    "__orig_bases__",
    "__parameters__",
    "__slots__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}


def members(cls):
    """The public members of a class, its operators among them, and not those that every object has."""
    return {
        name: kind(cls, name)
        for name in sorted(dir(cls))
        if name not in NOT_MEMBERS
        and not hasattr(object, name)
        and (not name.startswith("_") or name.startswith("__"))
    }


def kind(cls, name):
    raw = inspect.getattr_static(cls, name)
    if isinstance(raw, classmethod | staticmethod):
        return type(raw).__name__
    if inspect.iscoroutinefunction(getattr(cls, name)):
        return "async method"
    if callable(raw):
        # Also those of classes that C defines: `classmethod_descriptor` is one to whom nobody has to be told.
        return "classmethod" if type(raw).__name__ == "classmethod_descriptor" else "method"
    if hasattr(type(raw), "__get__"):
        return "property"
    return "value"


def public_names():
    """Every name of `asyncio.__all__`, and what it is."""
    found = {}
    for name in sorted(asyncio.__all__):
        value = getattr(asyncio, name)
        if isinstance(value, type):
            found[name] = {"bases": [base.__name__ for base in value.__mro__[1:]], "members": members(value)}
        elif inspect.iscoroutinefunction(value):
            found[name] = "async function"
        elif callable(value):
            found[name] = "function"
        else:
            found[name] = repr(value)
    return found


if __name__ == "__main__":
    print(json.dumps(public_names()))
