"""What tools ask a coroutine object: `inspect`, `cr_frame`, `cr_code`, `cr_origin`, the stack of its task."""

import collections.abc
import copy
import gc
import inspect
import io
import pickle
import sys
import threading
import types
import warnings
import weakref

import implementation
import pytest

library = implementation.package(implementation.chosen())


def releases(released, coro):
    """Has the thread of `coro` be in its call for as long as there is `coro`."""
    weakref.finalize(coro, released.set)
    return coro


MAKERS = {
    "sleep": lambda: library.sleep(30),
    "yield": lambda: library.sleep(0),
    "wait_for": lambda: library.wait_for(library.get_running_loop().create_future(), 60),
    "wait": lambda: library.wait([library.get_running_loop().create_future()]),
    "queue": lambda: library.Queue().get(),
    "event": lambda: library.Event().wait(),
    "read": lambda: library.StreamReader().read(),
    "to_thread": lambda: releases(released := threading.Event(), library.to_thread(released.wait)),
}


@pytest.fixture(params=sorted(MAKERS))
def make(request):
    return MAKERS[request.param]


def test_states(make):
    async def main():
        coro = make()
        assert inspect.iscoroutine(coro) and inspect.isawaitable(coro) and library.iscoroutine(coro)
        assert isinstance(coro, types.CoroutineType) and isinstance(coro, collections.abc.Coroutine)
        assert inspect.getcoroutinestate(coro) == inspect.CORO_CREATED
        coro.send(None)
        assert inspect.getcoroutinestate(coro) == inspect.CORO_SUSPENDED
        assert inspect.getcoroutinelocals(coro).keys() is not None
        coro.close()
        assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
        assert coro.cr_frame is None and coro.cr_await is None
        # Debug mode notes where coroutines come from.
        assert (coro.cr_origin is None) == (sys.get_coroutine_origin_tracking_depth() == 0)

    library.run(main())


def test_code_and_frame(make):
    async def main():
        coro = make()
        code = coro.cr_code
        assert isinstance(code, types.CodeType)
        assert (code.co_name, code.co_qualname) == (coro.__name__, coro.__qualname__)
        assert code.co_flags & inspect.CO_COROUTINE
        assert coro.cr_code is code
        for _ in range(2):
            frame = coro.cr_frame
            assert isinstance(frame, types.FrameType)
            assert frame.f_code is code and isinstance(frame.f_lineno, int) and frame.f_back is None
            if not coro.cr_suspended:
                coro.send(None)
        coro.close()

    library.run(main())


def test_stack_of_its_task():
    async def main():
        task = library.create_task(library.Event().wait())
        await library.sleep(0)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["wait"]
        out = io.StringIO()
        task.print_stack(file=out)
        assert out.getvalue().startswith("Stack for <Task pending") and ", in wait" in out.getvalue()
        task.cancel()

    library.run(main())


def test_is_not_copied(make):
    async def main():
        coro = make()
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot pickle"):
                attempt(coro)
        coro.close()

    library.run(main())


@pytest.mark.parametrize("how", ["debug", "sys"])
@pytest.mark.parametrize("name", ["sleep", "yield", "wait_for", "queue", "read", "to_thread"])
def test_origin(name, how):
    async def main():
        if how == "sys":
            sys.set_coroutine_origin_tracking_depth(2)
        coro = MAKERS[name]()
        sys.set_coroutine_origin_tracking_depth(0)
        untracked = MAKERS[name]()
        assert untracked.cr_origin is None
        untracked.close()
        file, line, function = coro.cr_origin[0]
        assert (file, function) == (__file__, "<lambda>") and isinstance(line, int)
        assert coro.cr_origin[1][2] == "main"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del coro
            gc.collect()
        [warning] = caught
        message = str(warning.message)
        assert message.startswith("coroutine '") and "was never awaited\nCoroutine created at" in message
        assert f'File "{__file__}", line {line}, in <lambda>' in message
        assert warning.category is RuntimeWarning

    library.run(main(), debug=how == "debug")


def test_origin_is_tracked_by_thread():
    """The depth belongs to a thread, also while loops run in several that take turns."""
    steps = {depth: [threading.Event() for _ in range(3)] for depth in (0, 2)}
    origins = {}

    async def main(mine, other):
        sys.set_coroutine_origin_tracking_depth(mine)
        coros = []
        for index in range(3):
            if mine < other:
                steps[mine][index].set()
            assert steps[other][index].wait(60)
            coros.append(library.sleep(0))
            steps[mine][index].set()
        origins[mine] = [coro.cr_origin for coro in coros]
        for coro in coros:
            await coro
        sys.set_coroutine_origin_tracking_depth(0)

    threads = [threading.Thread(target=library.run, args=(main(*pair),)) for pair in ((0, 2), (2, 0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert origins[0] == [None] * 3
    assert [origin[0][2] for origin in origins[2]] == ["main"] * 3


def test_never_awaited():
    coro = library.sleep(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del coro
    assert [str(warning.message) for warning in caught] == ["coroutine 'sleep' was never awaited"]
