"""`TaskGroup` as asyncio 3.15 has it: `cancel()`, whose cancellation it is, closed generators, eager children."""

import contextlib

import pytest


@pytest.fixture(autouse=True)
def newest(since):
    since(3, 15)


async def for_ever(asyncio, ended):
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        ended.append("ended")


@pytest.mark.parametrize("where", ["body", "child", "callback"])
def test_cancel_ends_the_block_quietly(asyncio, where):
    ended = []

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(for_ever(asyncio, ended))
            group.create_task(for_ever(asyncio, ended))
            await asyncio.sleep(0)
            if where == "body":
                group.cancel()
            elif where == "callback":
                asyncio.get_running_loop().call_soon(group.cancel)
            else:

                async def child():
                    group.cancel()

                group.create_task(child())
            await for_ever(asyncio, ended)
            raise AssertionError("not reached")
        return asyncio.current_task().cancelling()

    assert asyncio.run(main()) == 0
    assert ended == ["ended"] * 3


def test_cancel_while_the_block_is_left(asyncio):
    ended = []

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(for_ever(asyncio, ended))
            asyncio.get_running_loop().call_soon(group.cancel)
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    assert asyncio.run(main()) == 0
    assert ended == ["ended"]


def test_cancel_before_and_after(asyncio):
    async def main():
        group = asyncio.TaskGroup()
        group.cancel()
        group.cancel()
        async with group:
            refused = asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="is shutting down"):
                group.create_task(refused)
            # Before 3.13 it is left to the caller.
            refused.close()
            await asyncio.sleep(0)
            raise AssertionError("not reached")
        group.cancel()
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    assert asyncio.run(main()) == 0


def test_errors_of_children_are_raised_all_the_same(asyncio):
    async def fails():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise ValueError("in the cleanup")

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.sleep(0)
            group.cancel()

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [str(exc) for exc in caught.value.exceptions] == ["in the cleanup"]


@pytest.mark.parametrize("order", ["group first", "outside first"])
@pytest.mark.parametrize("when", ["in the block", "while it is left"])
def test_a_cancellation_from_outside_is_passed_on(asyncio, order, when):
    """cpython #155433: it is not the group's, although the group has cancelled the task too."""

    async def body(groups):
        async with asyncio.TaskGroup() as group:
            groups.append(group)
            group.create_task(asyncio.sleep(3600))
            if when == "in the block":
                await asyncio.sleep(3600)

    async def main():
        groups = []
        task = asyncio.create_task(body(groups))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if order == "group first":
            groups[0].cancel()
            task.cancel()
        else:
            task.cancel()
            groups[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled(), task.cancelling()

    assert asyncio.run(main()) == (True, 1)


def test_a_cancellation_from_outside_in_a_later_turn(asyncio):
    """The group's has been delivered by then, and children take their time."""

    async def slow():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def body(groups):
        async with asyncio.TaskGroup() as group:
            groups.append(group)
            group.create_task(slow())
            await asyncio.sleep(3600)

    async def main():
        groups = []
        task = asyncio.create_task(body(groups))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        groups[0].cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelling()

    assert asyncio.run(main()) == 1


def test_a_generator_is_closed_inside_a_block(asyncio):
    ended = []

    async def generate():
        async with asyncio.TaskGroup() as group:
            group.create_task(for_ever(asyncio, ended))
            await asyncio.sleep(0)
            yield 1
            yield 2

    async def main():
        generator = generate()
        assert await anext(generator) == 1
        await generator.aclose()

    asyncio.run(main())
    assert ended == ["ended"]


def test_a_child_that_fails_while_its_generator_is_closed(asyncio):
    async def fails():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise ValueError

    async def generate():
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.sleep(0)
            yield 1

    async def main():
        generator = generate()
        await anext(generator)
        await generator.aclose()

    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(main())
    assert {type(exc) for exc in caught.value.exceptions} == {ValueError, GeneratorExit}


@pytest.mark.parametrize("how", ["factory", "keyword"])
def test_an_eager_child_that_fails_at_once(asyncio, how):
    """cpython #128588: the block goes on until it waits."""
    reached = []

    async def fails():
        raise ValueError

    async def main():
        options = {"eager_start": True} if how == "keyword" else {}
        if how == "factory":
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(fails(), **options)
            reached.append(task.done())
            group.create_task(asyncio.sleep(0), **options)
            reached.append(asyncio.current_task().cancelling())
            await asyncio.sleep(3600)

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert reached == [True, 0]


@pytest.mark.parametrize("done", [True, False])
def test_an_eager_child_that_cancels_its_group(asyncio, done):
    """cpython #155418: it is not among the children yet."""
    ended = []

    async def child(group):
        group.cancel()
        if not done:
            await for_ever(asyncio, ended)

    async def main():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(child(group), eager_start=True)
        return task.cancelled()

    assert asyncio.run(main()) is (not done)
    assert ended == ([] if done else ["ended"])
