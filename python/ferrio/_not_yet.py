"""Names of asyncio that ferrio does not have yet: the one table, and what stands in their place.

A program that merely mentions such a name (an import, an `isinstance`, a base class) goes on working; calling it says
plainly what is missing.  A name leaves the table when the extension gets it, and the table only ever shrinks.
"""

NOT_YET = {}


class NotYet:
    """Base of the placeholders; a class, so that it can also be subclassed and asked for with isinstance."""

    __slots__ = ()

    def __new__(cls, *args, **kwargs):
        """Refuse the call.

        Raises NotImplementedError, naming the asyncio feature that is missing.
        """
        name = next(base.__name__ for base in cls.__mro__ if NotYet in base.__bases__)
        reason = NOT_YET.get(name, "this build of the extension lacks it")
        raise NotImplementedError(f"ferrio does not have asyncio's {name} yet: {reason}")


_made = {}


def not_yet(name):
    """The placeholder of a name; the same object each time, so that every module shows the same one."""
    if name not in _made:
        _made[name] = type(
            name, (NotYet,), {"__slots__": (), "__module__": "ferrio", "__doc__": NOT_YET.get(name)}
        )
    return _made[name]


def missing():
    """The names that have been asked for so far and are not there, sorted."""
    return sorted(_made)
