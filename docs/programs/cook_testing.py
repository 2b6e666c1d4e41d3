"""Tests of asyncio code with nothing but the standard library."""

import asyncio
import unittest


async def first_of(*coroutines):
    """The result of the one that ends first; the others are cancelled."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return done.pop().result()


class Tests(unittest.IsolatedAsyncioTestCase):
    async def test_the_first_wins(self):
        self.assertEqual(await first_of(asyncio.sleep(0.01, "fast"), asyncio.sleep(3600, "slow")), "fast")

    async def test_the_others_are_cancelled(self):
        slow = asyncio.ensure_future(asyncio.sleep(3600))
        await first_of(asyncio.sleep(0), slow)
        self.assertTrue(slow.cancelled())


if __name__ == "__main__":
    unittest.main()
