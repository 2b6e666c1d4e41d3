"""Functions and methods that return coroutines are coroutine functions to all that asks, as those of asyncio are."""

import copy
import functools
import inspect
import json
import pickle
import pydoc
import types
import unittest
from pathlib import Path
from unittest import mock

import implementation
import pytest

library = implementation.package(implementation.chosen())

PROGRAM = Path(__file__).with_name("coroutine_functions.py")

# Not there, or not like stock, and why.
DIFFERENT = {
    # `mock` looks past descriptors from some 3.12 on, and finds asyncio's in the instance's dict.
    "Condition().acquire": "the lock's method comes through a descriptor of the class",
    "create_subprocess_exec": "subprocesses are not built",
    "create_subprocess_shell": "subprocesses are not built",
}

# One of each kind of declaration: a function; methods with any arguments, one, none; of a statement, of a slot.
FUNCTIONS = {
    "function": library.sleep,
    "any arguments": library.StreamReader.read,
    "one argument": library.Condition.wait_for,
    "no arguments": library.Queue.get,
    "statement": library.Lock.__aenter__,
    "slot": library.StreamReader.__anext__,
}


def roster(impl):
    ended = implementation.run(impl, PROGRAM, seconds=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_are_those_that_asyncio_has():
    stock, tested = roster(implementation.STOCK), roster(implementation.chosen())
    wrong = {
        name: (said, tested[name])
        for name, said in stock.items()
        if name in tested and tested[name] != said and not DIFFERENT.keys() & {name, name.rsplit(".")[-1]}
    }
    assert wrong == {}
    common = stock.keys() & tested.keys()
    assert len(common) > 400
    assert sum(stock[name][0] for name in common) > 100


@pytest.fixture(params=sorted(FUNCTIONS))
def function(request):
    return FUNCTIONS[request.param]


def test_is_a_function(function):
    assert inspect.iscoroutinefunction(function) and inspect.isfunction(function)
    assert isinstance(function, types.FunctionType)
    assert function.__code__.co_flags & inspect.CO_COROUTINE
    assert (function.__code__.co_name, function.__name__) == (function.__name__, function.__code__.co_name)
    assert function.__qualname__.endswith(function.__name__) and isinstance(function.__module__, str)
    assert isinstance(function.__globals__, dict)
    assert repr(function).startswith(f"<function {function.__qualname__} at 0x")
    assert copy.copy(function) is function and copy.deepcopy(function) is function
    assert pydoc.render_doc(function)
    function.mark = 1
    assert vars(function)["mark"] == 1
    del function.mark


def test_binds_as_a_method():
    queue = library.Queue()
    method = queue.get
    assert isinstance(method, types.MethodType) and method.__self__ is queue
    assert method.__func__ is library.Queue.get and method == queue.get
    assert inspect.iscoroutinefunction(method) and inspect.iscoroutinefunction(functools.partial(method))
    assert list(inspect.signature(queue.put).parameters) == ["item"]
    bound = library.Lock().__aenter__
    assert isinstance(bound, types.MethodType) and inspect.iscoroutinefunction(bound)

    class Holder:
        sleep = library.sleep

    assert isinstance(Holder().sleep, types.MethodType)


def test_signature_and_defaults():
    assert str(inspect.signature(library.sleep)) == "(delay, result=None)"
    assert library.sleep.__defaults__ == (None,) and library.sleep.__kwdefaults__ is None
    assert library.sleep.__code__.co_varnames[:2] == ("delay", "result")
    assert library.wait.__kwdefaults__ == {"timeout": None, "return_when": library.ALL_COMPLETED}


def test_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(library.sleep)) is library.sleep


def test_wrong_calls():
    async def main():
        queue = library.Queue()
        for call in (
            lambda: queue.get(1),
            lambda: queue.get(unknown=1),
            lambda: queue.put(),
            lambda: library.Queue.get(),
            lambda: library.sleep(),
            lambda: library.sleep(0, 1, 2),
            lambda: library.Condition().wait_for(),
        ):
            with pytest.raises(TypeError):
                call()

    library.run(main())


def test_calls():
    async def main():
        queue = library.Queue()
        await library.Queue.put(queue, 1)
        await queue.put(item=2)
        assert await library.Queue.get(queue) == 1
        nothing = {}
        assert await queue.get(**nothing) == 2
        assert await library.sleep(0, result=3) == await library.sleep(0, 3) == 3
        condition = library.Condition()
        async with condition:
            assert await condition.wait_for(lambda: 4) == await condition.wait_for(predicate=lambda: 4) == 4
        reader = library.StreamReader()
        reader.feed_data(b"line\n")
        reader.feed_eof()
        assert [line async for line in reader] == [b"line\n"]

    library.run(main())


def test_iteration_in_a_subclass():
    class Twice(library.StreamReader):
        async def __anext__(self):
            return 2 * await super().__anext__()

    class Same(library.StreamReader):
        pass

    async def lines(reader):
        reader.feed_data(b"line\n")
        reader.feed_eof()
        return [line async for line in reader]

    async def main():
        assert await lines(Twice()) == [b"line\nline\n"]
        assert await lines(Same()) == [b"line\n"]

    library.run(main())


@pytest.mark.parametrize("make", [mock.MagicMock, mock.AsyncMock, mock.create_autospec])
def test_mocks_of_classes_are_awaited(make):
    async def main():
        queue = (
            make(spec=library.Queue, instance=True) if make is mock.create_autospec else make(library.Queue)
        )
        queue.get.return_value = 5
        assert await queue.get() == 5
        queue.get.assert_awaited_once_with()

    library.run(main())


def test_patched_function():
    async def main():
        with mock.patch.object(library, "sleep") as patched:
            await library.sleep(60)
        patched.assert_awaited_once_with(60)
        with mock.patch.object(library, "sleep", autospec=True) as patched:
            await library.sleep(60)
        patched.assert_awaited_once_with(60)

    library.run(main())


@pytest.mark.parametrize("cls", [library.Lock, library.Semaphore])
def test_patched_method(cls):
    acquire = cls.acquire

    async def main():
        with mock.patch.object(cls, "acquire", autospec=True, side_effect=acquire) as patched:
            async with cls():
                pass
            lock = cls()
            await lock.acquire()
        assert patched.call_count == 2 and patched.call_args == mock.call(lock)
        assert cls.acquire is acquire

    library.run(main())


def test_async_cleanup():
    lock = library.Lock()
    events = []

    class Case(unittest.IsolatedAsyncioTestCase):
        async def test(self):
            self.addAsyncCleanup(lock.acquire)
            events.append(lock.locked())

    result = unittest.TestResult()
    Case("test").run(result)
    assert result.wasSuccessful(), result.errors
    assert events == [False] and lock.locked()
