"""What asyncio had once, for programs that were written for it; native.

    from ferrio import legacy

    @legacy.coroutine
    def slow_sum(x, y):
        yield from asyncio.sleep(1)
        return x + y

asyncio had `coroutine()` from its first edition, in Python 3.4, to Python 3.10.  `ferrio run` does not put it back
under asyncio's name: asyncio does not have it, and libraries look whether it does.
"""

from ._native import coroutine

__all__ = ("coroutine",)
