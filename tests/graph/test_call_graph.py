"""The call graph: the frames of tasks that wait and of the one that runs, what awaits them, and how it is shown.

The expected frames are those of stock asyncio 3.14: native coroutines stand where asyncio's own stand.
"""

import copy
import dataclasses
import io
import sys
import types

import implementation
import pytest

library = implementation.package(implementation.chosen())

if not hasattr(library, "capture_call_graph"):
    pytest.skip("stock asyncio has the call graph since 3.14", allow_module_level=True)


def names(graph):
    return [entry.frame.f_code.co_name for entry in graph.call_stack]


def tree(graph):
    """(what it is, its frames, what awaits it), with the latter in the order of their names."""
    what = graph.future.get_name() if isinstance(graph.future, library.Task) else "future"
    return what, names(graph), sorted(map(tree, graph.awaited_by))


async def settle():
    for _ in range(6):
        await library.sleep(0)


async def captured(coro):
    """The frames of a task of `coro` that waits."""
    task = library.create_task(coro, name="waits")
    await settle()
    found = names(library.capture_call_graph(task))
    task.cancel()
    await library.gather(task, return_exceptions=True)
    return found


async def around(awaitable):
    return await awaitable


async def forever():
    await library.get_running_loop().create_future()


def held(lock):
    async def enter():
        async with lock:
            pass

    return enter


class Waiting:
    """Coroutines that wait for ever, and asyncio's frames of each from the innermost one on."""

    async def sleep(self):
        await library.sleep(3600)

    async def wait(self):
        await library.wait([library.get_running_loop().create_future()])

    async def wait_for(self):
        await library.wait_for(forever(), 3600)

    async def wait_for_without_limit(self):
        await library.wait_for(around(forever()), None)

    async def wait_for_twice(self):
        await library.wait_for(library.wait_for(forever(), 1800), 3600)

    async def event(self):
        await library.Event().wait()

    async def queue(self):
        await library.Queue().get()

    async def full_queue(self):
        queue = library.Queue(1)
        await queue.put(1)
        await queue.put(2)

    async def join(self):
        queue = library.Queue()
        queue.put_nowait(1)
        await queue.join()

    async def lock(self):
        lock = library.Lock()
        await lock.acquire()
        await lock.acquire()

    async def locked_block(self):
        lock = library.Lock()
        async with lock, lock:
            pass

    async def semaphore_block(self):
        async with library.Semaphore(0):
            pass

    async def condition(self):
        async with library.Condition() as condition:
            assert condition is None
        condition = library.Condition()
        async with condition:
            await condition.wait()

    async def condition_wait_for(self):
        condition = library.Condition()
        async with condition:
            await condition.wait_for(lambda: False)

    async def barrier(self):
        await library.Barrier(2).wait()

    async def read(self):
        await library.StreamReader().read(1)

    async def readline(self):
        await library.StreamReader().readline()

    async def readuntil(self):
        await library.StreamReader().readuntil(b"x")

    async def readexactly(self):
        await library.StreamReader().readexactly(10)

    async def gather(self):
        await library.gather(forever(), forever())

    async def shield(self):
        await library.shield(forever())

    async def group(self):
        async with library.TaskGroup() as group:
            group.create_task(forever())

    async def timeout(self):
        async with library.timeout(3600):
            await forever()

    async def as_completed(self):
        for first in library.as_completed([forever()]):
            await first

    async def to_thread_result(self):
        await library.wrap_future(__import__("concurrent.futures").futures.Future())


FRAMES = {
    "sleep": ["sleep", "sleep"],
    "wait": ["_wait", "wait", "wait"],
    "wait_for": ["forever", "wait_for", "wait_for"],
    "wait_for_without_limit": ["forever", "around", "wait_for", "wait_for_without_limit"],
    "wait_for_twice": ["forever", "wait_for", "wait_for", "wait_for_twice"],
    "event": ["wait", "event"],
    "queue": ["get", "queue"],
    "full_queue": ["put", "full_queue"],
    "join": ["wait", "join", "join"],
    "lock": ["acquire", "lock"],
    "locked_block": ["acquire", "__aenter__", "locked_block"],
    "semaphore_block": ["acquire", "__aenter__", "semaphore_block"],
    "condition": ["wait", "condition"],
    "condition_wait_for": ["wait", "wait_for", "condition_wait_for"],
    "barrier": ["wait", "wait_for", "_wait", "wait", "barrier"],
    "read": ["_wait_for_data", "read", "read"],
    "readline": ["_wait_for_data", "readuntil", "readline", "readline"],
    "readuntil": ["_wait_for_data", "readuntil", "readuntil"],
    "readexactly": ["_wait_for_data", "readexactly", "readexactly"],
    "gather": ["gather"],
    "shield": ["shield"],
    "group": ["_aexit", "__aexit__", "group"],
    "timeout": ["forever", "timeout"],
    "as_completed": ["get", "_wait_for_one", "as_completed"],
    "to_thread_result": ["to_thread_result"],
}


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_frames_of_a_task_that_waits(name):
    assert library.run(captured(getattr(Waiting(), name)())) == FRAMES[name]


@pytest.mark.parametrize("name", ["sleep", "queue", "wait", "wait_for"])
def test_frames_of_a_task_whose_coroutine_is_native(name):
    makers = {
        "sleep": (lambda: library.sleep(3600), ["sleep"]),
        "queue": (lambda: library.Queue().get(), ["get"]),
        "wait": (lambda: library.wait([library.get_running_loop().create_future()]), ["_wait", "wait"]),
        "wait_for": (lambda: library.wait_for(forever(), 3600), ["forever", "wait_for"]),
    }
    make, frames = makers[name]

    async def main():
        return await captured(make())

    assert library.run(main()) == frames


def test_a_coroutine_that_has_not_begun_has_its_frame():
    async def main():
        python = library.create_task(forever())
        native = library.create_task(library.sleep(3600))
        found = [names(library.capture_call_graph(task)) for task in (python, native)]
        python.cancel(), native.cancel()
        await library.gather(python, native, return_exceptions=True)
        return found

    assert library.run(main()) == [["forever"], ["sleep"]]


def test_a_task_that_has_ended_has_no_frames():
    async def fails():
        raise ValueError

    async def main():
        tasks = [library.create_task(coro) for coro in (fails(), library.sleep(0), library.Event().wait())]
        tasks[2].cancel()
        await library.gather(*tasks, return_exceptions=True)
        return [names(library.capture_call_graph(task)) for task in tasks]

    assert library.run(main()) == [[], [], []]


# The task that runs.


def running(outermost):
    """The frames of the running task up to `main`, without what runs it."""
    found = names(library.capture_call_graph(depth=2))
    return found[: found.index(outermost) + 1]


def test_the_running_task():
    def plain():
        return running("main")

    async def inner():
        return plain()

    async def main():
        return await inner()

    assert library.run(main()) == ["plain", "inner", "main"]


def test_the_running_task_ends_at_its_coroutine():
    async def main():
        return names(library.capture_call_graph())

    assert library.run(main()) == ["main"]


@pytest.mark.parametrize("limit", [None, 3600])
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_native_coroutines_between_those_that_run(limit, turns):
    """In the first step, which takes a path of its own, and in later ones."""

    async def deep():
        for _ in range(turns):
            await library.sleep(0)
        return running("main")

    async def middle():
        return await library.wait_for(deep(), limit)

    async def main():
        return await library.wait_for(library.wait_for(middle(), limit), limit)

    assert library.run(main()) == ["deep", "wait_for", "middle", "wait_for", "wait_for", "main"]


def test_a_native_coroutine_under_an_error_that_is_thrown_in():
    found = []

    async def deep():
        try:
            await forever()
        finally:
            found.extend(running("main"))

    async def main():
        await library.wait_for(deep(), 3600)

    async def cancels():
        task = library.create_task(main())
        await settle()
        task.cancel()
        await library.wait([task])

    library.run(cancels())
    assert found == ["deep", "wait_for", "main"]


def test_a_running_native_coroutine_of_a_task_of_its_own():
    async def deep():
        await library.sleep(0)
        return names(library.capture_call_graph())

    async def main():
        return await library.create_task(library.wait_for(deep(), 3600))

    assert library.run(main()) == ["deep", "wait_for"]


def test_wait_for_in_an_awaitable_of_the_programs_own():
    class Awaitable:
        def __await__(self):
            return library.wait_for(deep(), 3600).__await__()

    async def deep():
        return running("main")

    async def main():
        return await Awaitable()

    assert library.run(main()) == ["deep", "wait_for", "main"]


def test_generators_and_asynchronous_generators_that_run():
    def generator():
        yield running("main")

    async def agen():
        for found in generator():
            yield found

    async def main():
        # No comprehension: up to 3.11 that is a function of its own.
        found = []
        async for frames in agen():
            found.extend(frames)
        return found

    assert library.run(main()) == ["generator", "agen", "main"]


def test_a_coroutine_driven_by_hand_is_where_the_stack_ends():
    async def by_hand():
        found.extend(names(library.capture_call_graph()))

    def drive():
        coro = by_hand()
        with pytest.raises(StopIteration):
            coro.send(None)

    async def main():
        drive()

    found = []
    library.run(main())
    assert found == ["by_hand"]


def test_an_eager_task_ends_at_its_own_coroutine():
    found = []

    async def eager():
        found.extend(names(library.capture_call_graph()))

    async def main():
        library.get_running_loop().set_task_factory(library.eager_task_factory)
        await library.create_task(eager())

    library.run(main())
    assert found == ["eager"]


@pytest.mark.parametrize(
    ("limit", "frames"),
    [
        (None, ["f", "c", "b", "a"]),
        (2, ["b", "a"]),
        (-2, ["f", "c"]),
        (0, []),
        (100, ["f", "c", "b", "a"]),
        (-100, ["f", "c", "b", "a"]),
    ],
)
def test_limit(limit, frames):
    def f():
        return names(library.capture_call_graph(limit=limit))

    async def c():
        return f()

    async def b():
        return await c()

    async def a():
        return await b()

    assert library.run(a()) == frames


@pytest.mark.parametrize(
    ("limit", "frames"),
    [(2, ["wait_for", "a"]), (-2, ["forever", "b"]), (0, []), (9, ["forever", "b", "wait_for", "a"])],
)
def test_limit_of_a_task_that_waits(limit, frames):
    async def b():
        await forever()

    async def a():
        await library.wait_for(b(), 3600)

    async def main():
        task = library.create_task(a())
        await settle()
        found = names(library.capture_call_graph(task, limit=limit))
        task.cancel()
        await library.gather(task, return_exceptions=True)
        return found

    assert library.run(main()) == frames


def test_depth():
    def f(depth):
        return names(library.capture_call_graph(depth=depth))

    async def main():
        # No comprehension: up to 3.11 that is a function of its own.
        return [f(-1), f(0), f(1), f(2)]

    assert library.run(main()) == [
        ["capture_call_graph", "f", "main"],
        ["capture_call_graph", "f", "main"],
        ["f", "main"],
        ["main"],
    ]


def test_depth_beyond_the_stack():
    async def main():
        with pytest.raises(ValueError, match="call stack is not deep enough"):
            library.capture_call_graph(depth=100_000)

    library.run(main())


def test_native_functions_are_shown_as_asyncios_are():
    async def main():
        out = io.StringIO()
        library.print_call_graph(file=out)
        shown = [line.rpartition(" in ")[2] for line in out.getvalue().splitlines()[2:]]
        formatted = library.format_call_graph(depth=0).splitlines()[2:]
        return shown, [line.rpartition(" in ")[2] for line in formatted]

    assert library.run(main()) == (
        ["print_call_graph()", "async test_native_functions_are_shown_as_asyncios_are.<locals>.main()"],
        ["format_call_graph()", "async test_native_functions_are_shown_as_asyncios_are.<locals>.main()"],
    )


# What awaits it.


def test_awaited_by():
    async def waits(what):
        await what

    async def shields(what):
        await library.shield(what)

    async def gathers(what):
        await library.gather(what)

    async def main():
        future = library.get_running_loop().create_future()
        inner = library.create_task(waits(future), name="inner")
        async with library.TaskGroup() as group:
            group.create_task(waits(inner), name="one")
            group.create_task(shields(inner), name="two")
            group.create_task(gathers(inner), name="three")
            group.create_task(library.wait([inner]), name="four")
            group.create_task(library.wait_for(inner, 3600), name="five")
            await settle()
            library.current_task().set_name("main")
            found = tree(library.capture_call_graph(future))
            future.set_result(None)
        return found, library.capture_call_graph(inner).awaited_by

    found, after = library.run(main())
    assert after == ()
    # The group's own task does not wait yet, and is shown as what awaits its children all the same.
    main = ("main", ["main"], [])
    assert found == (
        "future",
        [],
        [
            (
                "inner",
                ["waits"],
                [
                    ("five", ["wait_for"], [main]),
                    ("four", ["_wait", "wait"], [main]),
                    ("one", ["waits"], [main]),
                    ("three", ["gathers"], [main]),
                    ("two", ["shields"], [main]),
                ],
            )
        ],
    )


def test_as_completed_is_shown_to_await():
    async def main():
        task = library.create_task(forever(), name="child")
        iterator = iter(library.as_completed([task]))
        first = next(iterator)
        library.current_task().set_name("main")
        during = tree(library.capture_call_graph(task))
        task.cancel()
        await library.gather(task, return_exceptions=True)
        first.close()
        return during, library.capture_call_graph(task).awaited_by

    assert library.run(main()) == (("child", ["forever"], [("main", ["main"], [])]), ())


def test_awaited_by_notes_made_by_hand():
    async def main():
        future = library.get_running_loop().create_future()
        task = library.create_task(forever(), name="noted")
        await settle()
        library.future_add_to_awaited_by(future, task)
        library.future_add_to_awaited_by(future, task)
        during = tree(library.capture_call_graph(future))
        library.future_discard_from_awaited_by(future, task)
        library.future_discard_from_awaited_by(future, task)
        library.future_add_to_awaited_by(future, 1)
        after = tree(library.capture_call_graph(future))
        task.cancel()
        await library.gather(task, return_exceptions=True)
        return during, after

    assert library.run(main()) == (
        ("future", [], [("noted", ["forever"], [])]),
        ("future", [], []),
    )


@pytest.mark.skipif(implementation.chosen() == "stock", reason="stock recurses until RecursionError")
def test_tasks_that_await_each_other():
    """The circle is shown once round."""

    async def main():
        one, two = (library.create_task(forever(), name=name) for name in ("one", "two"))
        await settle()
        library.future_add_to_awaited_by(one, two)
        library.future_add_to_awaited_by(two, one)
        found = tree(library.capture_call_graph(one))
        shown = library.format_call_graph(one).count("* Task(")
        one.cancel(), two.cancel()
        await library.gather(one, two, return_exceptions=True)
        return found, shown

    found, shown = library.run(main())
    assert found == ("one", ["forever"], [("two", ["forever"], [("one", ["forever"], [])])])
    assert shown == 3


def test_a_long_chain_of_tasks():
    async def main():
        tasks = [library.create_task(forever())]
        for _ in range(100):
            tasks.append(library.create_task(around(tasks[-1])))
        await settle()
        graph, depth = library.capture_call_graph(tasks[0]), 0
        while graph.awaited_by:
            (graph,) = graph.awaited_by
            depth += 1
        tasks[0].cancel()
        await library.gather(*tasks, return_exceptions=True)
        return depth

    assert library.run(main()) == 100


# What it is made of.


def test_the_classes():
    async def main():
        return library.capture_call_graph()

    graph = library.run(main())
    entry = graph.call_stack[0]
    assert isinstance(graph, library.FutureCallGraph) and isinstance(entry, library.FrameCallGraphEntry)
    assert isinstance(entry.frame, types.FrameType)
    for cls, fields in (
        (library.FutureCallGraph, ("future", "call_stack", "awaited_by")),
        (library.FrameCallGraphEntry, ("frame",)),
    ):
        assert cls.__match_args__ == fields
        assert cls.__module__ == "asyncio.graph"
        made, same = cls(*fields), cls(**dict(zip(fields, fields, strict=True)))
        assert made == same and hash(made) == hash(same) and made != fields
        assert copy.copy(made) == made
        assert repr(made) == f"{cls.__name__}({', '.join(f'{name}={name!r}' for name in fields)})"
        assert dataclasses.is_dataclass(cls)
        assert tuple(field.name for field in dataclasses.fields(made)) == fields
        assert dataclasses.asdict(made) == dict(zip(fields, fields, strict=True))
        assert getattr(dataclasses.replace(made, **{fields[0]: 1}), fields[0]) == 1
        with pytest.raises(TypeError, match="not supported between"):
            _ = made < same
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{fields[0]}'"):
            setattr(made, fields[0], 1)
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field"):
            delattr(made, fields[0])
        with pytest.raises(TypeError):
            cls()
        with pytest.raises(TypeError):
            cls(*fields, 1)


def test_frames_of_native_coroutines_answer_as_frames():
    async def main():
        task = library.create_task(library.wait_for(forever(), 3600))
        await settle()
        inner, outer = library.capture_call_graph(task).call_stack
        assert inner.frame.f_code is forever.__code__
        frame = outer.frame
        assert isinstance(frame, types.FrameType) and isinstance(frame.f_code, types.CodeType)
        assert frame.f_code.co_name == "wait_for" and frame.f_lineno >= 1 and frame.f_back is None
        assert dict(frame.f_locals) is not None and isinstance(frame.f_globals, dict)
        if sys.version_info >= (3, 14):
            assert inner.frame.f_generator.cr_code is forever.__code__
        if hasattr(frame, "f_generator"):
            assert frame.f_generator is task.get_coro()
        task.cancel()
        await library.gather(task, return_exceptions=True)

    library.run(main())


def test_text():
    async def main():
        task = library.create_task(library.wait_for(forever(), 3600), name="a 'name'")
        await settle()
        text = library.format_call_graph(task)
        future = library.get_running_loop().create_future()
        plain = library.format_call_graph(future)
        task.cancel()
        await library.gather(task, return_exceptions=True)
        return text, hex(id(task)), plain, hex(id(future))

    text, task, plain, future = library.run(main())
    lines = text.splitlines()
    assert lines[:2] == [f"* Task(name=\"a 'name'\", id={task})", "  + Call stack:"]
    line = forever.__code__.co_firstlineno + 1
    assert lines[2] == f"  |   File {__file__!r}, line {line}, in async forever()"
    assert lines[3].startswith("  |   File ") and lines[3].endswith(", in async wait_for()")
    assert len(lines) == 4
    assert plain == f"* Future(id={future})"


# Errors.


def test_outside_of_a_task():
    with pytest.raises(RuntimeError, match="outside of a running event loop"):
        library.capture_call_graph()
    found = []

    def callback():
        found.append(library.capture_call_graph())
        found.append(library.format_call_graph())

    async def main():
        library.get_running_loop().call_soon(callback)
        await library.sleep(0)
        task = library.create_task(forever())
        await settle()
        return task

    loop = library.new_event_loop()
    task = loop.run_until_complete(main())
    assert found == [None, ""]
    # No loop runs: what is asked for does not run either.
    assert names(library.capture_call_graph(task)) == ["forever"]
    task.cancel()
    loop.run_until_complete(library.gather(task, return_exceptions=True))
    loop.close()


@pytest.mark.parametrize("what", [1, "future", object()])
def test_what_is_no_future(what):
    with pytest.raises(TypeError, match=r"does not appear to be compatible with asyncio\.Future"):
        library.capture_call_graph(what)


def test_wrong_arguments():
    with pytest.raises(TypeError):
        library.capture_call_graph(future=None)
    with pytest.raises(TypeError):
        library.capture_call_graph(None, 1)
    with pytest.raises(TypeError):
        library.print_call_graph(None, None)
