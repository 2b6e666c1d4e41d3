"""What `unittest.mock` takes for functions: the native methods of ferrio too, which are functions in asyncio.

`create_autospec(asyncio.Queue)` then checks arguments, and a method that is patched with `autospec=True` is given the
queue.  mock is told when it is loaded; nothing else in it changes.
"""

import sys

from ._import_hook import after_load


class _Methods(type):
    def __instancecheck__(cls, obj):
        from ._native import _is_function_to_mock

        return _is_function_to_mock(obj)


class _NativeMethod(metaclass=_Methods):
    """What the native methods are instances of, to mock alone."""


def _tell(module):
    module.FunctionTypes = (*module.FunctionTypes, _NativeMethod)


def meet_mock():
    """Tell mock, or have it told as soon as it is loaded."""
    if mock := sys.modules.get("unittest.mock"):
        _tell(mock)
    after_load("unittest.mock", _tell)
