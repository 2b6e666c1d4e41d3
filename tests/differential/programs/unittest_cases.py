"""unittest.IsolatedAsyncioTestCase on this asyncio: order of fixtures, contexts, failures."""

import asyncio
import contextvars
import unittest

from observe import emit, scenario

var = contextvars.ContextVar("var", default="default")


def run(case):
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    emit(
        result.testsRun,
        [text.strip().splitlines()[-1] for _, text in result.failures],
        [text.strip().splitlines()[-1] for _, text in result.errors],
    )


@scenario
def order():
    class Case(unittest.IsolatedAsyncioTestCase):
        def setUp(self):
            emit("setUp")

        async def asyncSetUp(self):
            self.loop = asyncio.get_running_loop()
            self.task = asyncio.create_task(asyncio.sleep(0, "from asyncSetUp"))
            self.addAsyncCleanup(self.cleanup)
            emit("asyncSetUp")

        async def cleanup(self):
            emit("cleanup", asyncio.get_running_loop() is self.loop)

        async def test(self):
            emit("test", asyncio.get_running_loop() is self.loop, await self.task)

        async def asyncTearDown(self):
            emit("asyncTearDown")

        def tearDown(self):
            emit("tearDown")

    run(Case)


@scenario
def contexts():
    class Case(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self):
            var.set("from asyncSetUp")

        async def test(self):
            emit(var.get())

    run(Case)
    emit(var.get())


@scenario
def failures():
    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_a_fails(self):
            self.assertEqual(await asyncio.sleep(0, 1), 2)

        async def test_b_raises(self):
            raise KeyError("b")

        async def test_c_leaves_a_task(self):
            asyncio.create_task(asyncio.sleep(3600))

        async def test_d_cancelled(self):
            raise asyncio.CancelledError

    try:
        run(Case)
    except asyncio.CancelledError as exc:
        emit(exc)


@scenario
def mocks():
    from unittest import mock

    async def main():
        thing = mock.AsyncMock(return_value=3)
        emit(await thing(1), thing.await_count, asyncio.iscoroutine(coro := thing()))
        await coro
        loop = asyncio.get_running_loop()
        with mock.patch.object(loop, "call_later") as call_later:
            call_later.return_value = mock.Mock()
            loop.call_later(5, print)
            emit(call_later.called)

    asyncio.run(main())
