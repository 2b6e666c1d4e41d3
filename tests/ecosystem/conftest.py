"""Real programs, unmodified, on the implementation under test (`FERRIO_TEST_IMPL=stock`: the interpreter's own)."""

import contextlib

import pytest
from program import Program


@pytest.fixture(scope="session")
def impl(impl):
    """The implementation under test; the interpreter's own is called stock here, asyncio elsewhere."""
    return "stock" if impl == "asyncio" else impl


@pytest.fixture
def start(impl):
    """`start(arguments…)` runs `python arguments…` on the implementation; what still runs at the end is killed."""
    with contextlib.ExitStack() as running:

        def start(*arguments, env=None):
            return running.enter_context(Program(impl, *arguments, env=env))

        yield start
