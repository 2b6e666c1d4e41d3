"""Methods of locks that a program replaces by mocks with a specification, as test suites do."""

import inspect
from unittest import mock

import implementation
import pytest

library = implementation.package(implementation.chosen())

METHODS = [
    (library.Lock, "release"),
    (library.Semaphore, "release"),
    (library.BoundedSemaphore, "release"),
    (library.Event, "set"),
    (library.Event, "clear"),
    (library.Condition, "notify"),
    (library.Condition, "notify_all"),
]


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=lambda part: getattr(part, "__name__", part))
def test_the_mock_is_given_the_object(kind, name):
    with mock.patch.object(kind, name, autospec=True) as replaced:
        made = kind()
        getattr(made, name)()
        replaced.assert_called_once_with(made)


@pytest.mark.parametrize("kind", [library.Lock, library.Semaphore])
def test_async_with_calls_what_was_put_in_their_place(kind):
    async def enter():
        async with kind() as entered:
            return entered

    acquire = mock.patch.object(kind, "acquire", autospec=True, side_effect=kind.acquire)
    release = mock.patch.object(kind, "release", autospec=True, side_effect=kind.release)
    with acquire as acquired, release as released:
        assert library.run(enter()) is None
        assert (acquired.call_count, released.call_count) == (1, 1)


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=lambda part: getattr(part, "__name__", part))
def test_it_is_a_function_and_returns_no_coroutine(kind, name):
    method = getattr(kind, name)
    assert inspect.isfunction(method)
    assert not inspect.iscoroutinefunction(method)
