"""gather_limited and map_limited: never more than the limit at once, order, the first error, cancellation."""

import contextlib

import ferrio
import pytest
from ferrio.extras import gather_limited, map_limited


class Crowd:
    """Jobs that count how many of them are at work."""

    def __init__(self):
        self.now = self.most = 0
        self.begun, self.ended, self.cancelled = [], [], []

    async def job(self, name, turns=1, error=None):
        self.begun.append(name)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(turns):
                await ferrio.sleep(0)
            if error:
                raise error
            self.ended.append(name)
            return name
        except ferrio.CancelledError:
            self.cancelled.append(name)
            raise
        finally:
            self.now -= 1


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 100])
def test_results_in_order_and_never_above_the_limit(limit):
    crowd = Crowd()

    async def main():
        return await gather_limited(limit, *[crowd.job(i, turns=1 + (7 * i) % 5) for i in range(20)])

    assert ferrio.run(main()) == list(range(20))
    assert crowd.most == min(limit, 20)


def test_nothing_to_do():
    async def main():
        assert await gather_limited(3) == []
        assert [item async for item in map_limited(None, [], limit=3)] == []

    ferrio.run(main())


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one(limit):
    with pytest.raises(ValueError, match="at least 1"):
        gather_limited(limit)
    with pytest.raises(ValueError, match="at least 1"):
        map_limited(print, [], limit=limit)


def test_the_first_error_cancels_the_rest_and_waits_for_them():
    crowd = Crowd()

    async def main():
        with pytest.raises(KeyError, match="first"):
            await gather_limited(
                3,
                crowd.job("slow", turns=50),
                crowd.job("bad", turns=3, error=KeyError("first")),
                crowd.job("slow too", turns=50),
                crowd.job("never begun"),
            )
        assert crowd.now == 0

    ferrio.run(main())
    assert sorted(crowd.cancelled) == ["slow", "slow too"]
    assert "never begun" not in crowd.begun


def test_errors_as_results():
    crowd = Crowd()

    async def main():
        return await gather_limited(
            2, crowd.job(1), crowd.job(2, error=KeyError("x")), crowd.job(3), return_exceptions=True
        )

    one, error, three = ferrio.run(main())
    assert (one, three) == (1, 3)
    assert isinstance(error, KeyError)


def test_cancelling_it_cancels_what_is_at_work():
    crowd = Crowd()

    async def main():
        task = ferrio.create_task(gather_limited(2, *[crowd.job(i, turns=50) for i in range(5)]))
        for _ in range(5):
            await ferrio.sleep(0)
        task.cancel()
        with pytest.raises(ferrio.CancelledError):
            await task
        assert crowd.now == 0

    ferrio.run(main())
    assert crowd.begun == crowd.cancelled == [0, 1]


def test_map_in_order_takes_items_only_when_there_is_room():
    crowd = Crowd()
    taken = []

    def items():
        for i in range(10):
            taken.append(i)
            yield i

    async def main():
        results = []
        async for result in map_limited(crowd.job, items(), limit=3):
            results.append(result)
            assert len(taken) <= len(results) + 3
        return results

    assert ferrio.run(main()) == list(range(10))
    assert crowd.most == 3


def test_map_as_they_come():
    turns = {0: 30, 1: 5, 2: 10, 3: 1}
    crowd = Crowd()

    async def main():
        return [
            result
            async for result in map_limited(
                lambda i: crowd.job(i, turns=turns[i]), turns, limit=4, ordered=False
            )
        ]

    assert ferrio.run(main()) == [3, 1, 2, 0]


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_behind_the_front_ends_the_map_at_once(ordered):
    crowd = Crowd()

    async def function(i):
        return await crowd.job(i, turns=100 if i == 0 else 2, error=KeyError(i) if i == 1 else None)

    async def main():
        with pytest.raises(KeyError):
            async for _ in map_limited(function, range(10), limit=2, ordered=ordered):
                pass
        assert crowd.now == 0

    ferrio.run(main())
    assert crowd.cancelled == [0]
    assert crowd.begun == [0, 1]


@pytest.mark.parametrize("where", ["function", "iterable"])
def test_errors_outside_of_the_tasks(where):
    crowd = Crowd()

    def items():
        yield 0
        if where == "iterable":
            raise KeyError("iterable")
        yield 1

    def function(i):
        if i == 1:
            raise KeyError("function")
        return crowd.job(i, turns=50)

    async def main():
        with pytest.raises(KeyError, match=where):
            async for _ in map_limited(function, items(), limit=2):
                pass
        assert crowd.now == 0

    ferrio.run(main())
    assert crowd.cancelled == crowd.begun


def test_leaving_the_loop_early():
    crowd = Crowd()

    async def main():
        async with contextlib.aclosing(map_limited(crowd.job, range(10), limit=3)) as results:
            async for _ in results:
                break
        assert crowd.now == 0
        assert [result async for result in results] == []

    ferrio.run(main())
    assert len(crowd.begun) <= 4
