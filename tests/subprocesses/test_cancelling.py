"""create_subprocess_exec() given up at each of its turns leaves no process, no zombie and no descriptor."""

import pytest

PIPES = dict.fromkeys(("stdin", "stdout", "stderr"), -1)


async def cancelled_after(asyncio, turns, coro):
    """Whether it was cancelled, and not done by then."""
    task = asyncio.create_task(coro)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return None


def more(turns):
    """The next number of turns to try. Each of the first is tried; then the child begins, which may take thousands."""
    return turns + 1 + turns // 20


@pytest.mark.parametrize("kwargs", [{}, PIPES], ids=["no pipes", "pipes"])
def test_at_each_turn(asyncio, run, left, kwargs):
    async def main():
        turns = done = 0
        # The child takes its time: how many turns there are differs.
        while done < 3:
            turns = more(turns)
            proc = await cancelled_after(
                asyncio, turns, asyncio.create_subprocess_exec("sleep", "1000", **kwargs)
            )
            if proc is not None:
                proc.kill()
                await proc.communicate()
                await proc.wait()
                done += 1
            assert left()[0] == set()

    run(main())
    assert left() == (set(), set())


def test_at_each_turn_of_one_that_fails(asyncio, run, left):
    async def main():
        turns = failed = 0
        while failed < 3:
            turns = more(turns)
            try:
                await cancelled_after(
                    asyncio, turns, asyncio.create_subprocess_exec("/no/such/program", **PIPES)
                )
            except FileNotFoundError:
                failed += 1
            assert left()[0] == set()

    run(main())
    assert left() == (set(), set())


def test_with_a_failing_sibling(asyncio, run, left):
    async def fails(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        raise ZeroDivisionError

    async def main():
        for turns in range(30):
            with pytest.raises(ExceptionGroup) as raised:
                async with asyncio.TaskGroup() as group:
                    for _ in range(3):
                        group.create_task(held_open())
                    group.create_task(fails(turns))
            assert raised.group_contains(ZeroDivisionError)
            assert left()[0] == set()

    async def held_open():
        proc = await asyncio.create_subprocess_exec("sleep", "1000", **PIPES)
        try:
            await proc.wait()
        finally:
            proc.kill()
            await proc.wait()

    run(main())
    assert left() == (set(), set())


def test_all_at_once(asyncio, run, left):
    async def main():
        tasks = [
            asyncio.create_task(asyncio.create_subprocess_exec("sleep", "1000", **PIPES)) for _ in range(20)
        ]
        for turn in range(20):
            tasks[turn].cancel()
            await asyncio.sleep(0)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                outcome.kill()
                await outcome.communicate()

    run(main())
    assert left() == (set(), set())
