"""repr() of handles, whatever their callback is, in debug mode and not."""

import asyncio
import functools
import types
from unittest import mock

from observe import emit, scenario


def plain(*args):
    pass


def outer():
    def inner():
        pass

    return inner


@functools.wraps(plain)
def wrapped():
    pass


class Callable:
    def __call__(self):
        pass

    def __repr__(self):
        return "<a callable>"

    def method(self):
        pass

    @classmethod
    def of_the_class(cls):
        pass

    @staticmethod
    def of_nobody():
        pass


class Nameless:
    __qualname__ = ""

    def __call__(self):
        pass

    def __repr__(self):
        return "<nameless>"


def nameless():
    made = Nameless()
    made.__qualname__ = made.__name__ = ""
    return made


def numbered():
    made = Callable()
    made.__qualname__ = "named by hand"
    return made


CALLBACKS = {
    "function": plain,
    "inner function": outer(),
    "wrapped function": wrapped,
    "lambda": lambda: None,
    "class": Callable,
    "class with __code__": types.FunctionType,
    "built-in class": int,
    "built-in function": print,
    "built-in method": [].append,
    "method descriptor": list.append,
    "method wrapper": (1).__add__,
    "callable": Callable(),
    "callable with a name": numbered(),
    "callable without a name": nameless(),
    "bound method": Callable().method,
    "class method": Callable.of_the_class,
    "static method": Callable.of_nobody,
    "partial": functools.partial(plain, 1, key="value"),
    "partial of a partial": functools.partial(functools.partial(plain, 1), 2, key=3),
    "partial of a method": functools.partial(Callable().method),
    "partial of a class": functools.partial(Callable, 1),
    "partial of a built-in": functools.partial(print, end=""),
    "mock": mock.create_autospec(plain),
    "cached": functools.lru_cache(plain),
    "single dispatch": functools.singledispatch(plain),
}


@scenario
def of_every_kind():
    for debug in (False, True):
        loop = asyncio.new_event_loop()
        loop.set_debug(debug)
        for name, callback in CALLBACKS.items():
            for args in ((), ("one", 2)):
                handle = asyncio.Handle(callback, args, loop)
                emit(debug, name, repr(handle))
                timer = asyncio.TimerHandle(123, callback, args, loop)
                emit(debug, name, repr(timer))
                handle.cancel()
                emit(debug, name, repr(handle))
        loop.close()


@scenario
def scheduled():
    for debug in (False, True):
        loop = asyncio.new_event_loop()
        loop.set_debug(debug)
        for name, callback in CALLBACKS.items():
            emit(debug, name, repr(loop.call_soon(callback)), repr(loop.call_later(5, callback, 1)))
        loop.close()


@scenario
def what_cannot_be_shown():
    class Broken:
        def __call__(self):
            pass

        def __repr__(self):
            raise RuntimeError("no repr")

    loop = asyncio.new_event_loop()
    try:
        repr(asyncio.Handle(Broken(), (), loop))
    except RuntimeError as exc:
        emit(exc)
    loop.close()


@scenario
def done_callbacks():
    loop = asyncio.new_event_loop()
    for name, callback in CALLBACKS.items():
        fut = loop.create_future()
        fut.add_done_callback(callback)
        emit(name, repr(fut))
    loop.close()
