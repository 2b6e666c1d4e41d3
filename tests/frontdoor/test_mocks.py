"""`unittest.mock` makes the same of our classes as of asyncio's: by calling what it makes."""

import json
import sys
from pathlib import Path
from unittest import mock

import implementation
import pytest

library = implementation.package(implementation.chosen())
PROGRAM = Path(__file__).with_name("mocks.py")

# The abstract method, while subprocesses are not built.
NOT_BUILT = (
    {"subprocess_exec"}
    if library.BaseEventLoop.subprocess_exec is library.AbstractEventLoop.subprocess_exec
    else set()
)
# It has a parameter since 3.12.
NEWER = {"shutdown_default_executor"} if sys.version_info < (3, 12) else set()


@pytest.fixture(scope="module")
def stock():
    return made("stock")


@pytest.fixture(scope="module")
def tested(impl):
    return made(impl)


def made(impl):
    ended = implementation.run(impl, PROGRAM, seconds=300)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("question", ["mock", "of an instance", "of the class", "in its place"])
def test_mocks_of_methods(stock, tested, question):
    assert {"queues.Queue.put_nowait", "events.Handle.cancel", "transports.Transport.write"} <= set(stock)
    different = {
        name: (answers[question], tested[name][question])
        for name, answers in stock.items()
        # What is in C in asyncio takes nothing; ours do.
        if name in tested
        and answers[question] != tested[name][question]
        and answers["in its place"] != ["a class of C takes nothing"]
    }
    left_out = NOT_BUILT | NEWER
    assert {name: both for name, both in different.items() if name.rpartition(".")[2] not in left_out} == {}


def test_a_method_in_its_place_is_given_the_object():
    async def main():
        queue = library.Queue()
        queue.put_nowait("an item")

    with mock.patch.object(library.Queue, "put_nowait", autospec=True) as put:
        library.run(main())
    ((queue, item), _) = put.call_args
    assert type(queue) is library.Queue and item == "an item"


def test_what_is_not_ours_is_taken_for_what_it_is():
    for function in (str.join, bytes.fromhex, len, int, object()):
        assert not isinstance(function, mock.FunctionTypes)
    assert isinstance(test_mocks_of_methods, mock.FunctionTypes)
