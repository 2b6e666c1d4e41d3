"""RateLimiter on a clock of its own: no real time passes, so every point in time is exact."""

import ferrio
import pytest
from ferrio.extras import RateLimiter


class Clock(ferrio.SelectorEventLoop):
    """A loop whose time stands still until there is nothing to do but wait."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.due = []

    def time(self):
        return self.now

    def call_at(self, when, callback, *args, context=None):
        return super().call_soon(self._reach, when, callback, args, context=context)

    def _reach(self, when, callback, args):
        self.due.append((when, len(self.due), callback, args))
        self.call_soon(self._turn)

    def _turn(self):
        """Jumps to the earliest deadline, once all that is ready has run."""
        if not self.due:
            return
        self.due.sort(key=lambda entry: entry[:2])
        when, _, callback, args = self.due.pop(0)
        self.now = max(self.now, when)
        callback(*args)


def play(main):
    with ferrio.Runner(loop_factory=Clock) as runner:
        return runner.run(main())


def times(rate, burst, wanted):
    async def main():
        limiter, seen = RateLimiter(rate, burst), []
        loop = ferrio.get_running_loop()

        async def one(n):
            await limiter.acquire(n)
            seen.append((n, round(loop.time(), 6)))

        async with ferrio.TaskGroup() as group:
            for n in wanted:
                group.create_task(one(n))
        return seen

    return play(main)


def test_a_burst_then_the_rate():
    assert times(10, 3, [1] * 6) == [(1, 0), (1, 0), (1, 0), (1, 0.1), (1, 0.2), (1, 0.3)]


def test_several_at_once_in_order_of_arrival():
    """A small request does not overtake a large one that came before it."""
    assert times(2, 4, [4, 3, 1]) == [(4, 0), (3, 1.5), (1, 2)]


def test_tokens_are_not_saved_beyond_the_burst():
    async def main():
        limiter = RateLimiter(1, 2)
        assert limiter.try_acquire(2)
        assert not limiter.try_acquire()
        ferrio.get_running_loop().now += 100
        assert limiter.try_acquire(2)
        assert not limiter.try_acquire()

    play(main)


def test_a_cancelled_wait_takes_nothing_and_delays_nobody():
    async def main():
        limiter = RateLimiter(1, 5)
        loop = ferrio.get_running_loop()
        await limiter.acquire(5)
        first = ferrio.create_task(limiter.acquire(5))
        second = ferrio.create_task(limiter.acquire(1))
        for _ in range(2):
            await ferrio.sleep(0)
        first.cancel()
        await second
        assert first.cancelled()
        assert loop.time() <= 5
        return loop.time()

    play(main)


def test_async_with():
    async def main():
        limiter = RateLimiter(4)
        loop = ferrio.get_running_loop()
        seen = []
        for _ in range(3):
            async with limiter:
                seen.append(loop.time())
        return seen

    assert play(main) == [0, 0.25, 0.5]


@pytest.mark.parametrize("arguments", [(0,), (-1,), (float("nan"),), (float("inf"),), (1, 0), (1, 0.5)])
def test_bad_limits(arguments):
    with pytest.raises(ValueError, match=r"rate|burst"):
        RateLimiter(*arguments)


@pytest.mark.parametrize("n", [0, -1, 4, float("nan")])
def test_more_than_fits(n):
    with pytest.raises(ValueError, match="never fit"):
        RateLimiter(1, 3).acquire(n)


def test_at_real_speed_it_never_admits_more_than_the_bucket_holds():
    """An upper bound that holds on the slowest machine: tokens that have passed <= burst + rate * time."""

    async def main():
        limiter, taken = RateLimiter(2000, 10), 0
        loop = ferrio.get_running_loop()
        begin = loop.time()

        async def worker():
            nonlocal taken
            for _ in range(20):
                await limiter.acquire()
                taken += 1
                assert taken <= 10 + 2000 * (loop.time() - begin) + 1e-6

        await ferrio.gather(*[worker() for _ in range(5)])
        assert taken == 100

    ferrio.run(main())
