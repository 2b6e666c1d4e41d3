"""`install()`: ferrio is `asyncio` for whatever is imported afterwards, and in place for what was imported before."""

import pytest


def test_every_way_to_import(program):
    program(
        """
        import sys, ferrio
        ferrio.install()
        assert "ferrio.tasks" not in sys.modules or "asyncio.tasks" in sys.modules
        import importlib
        import asyncio
        import asyncio.events as events
        from asyncio import subprocess, Task
        from asyncio.queues import Queue
        assert asyncio is ferrio and events is ferrio.events and subprocess is ferrio.subprocess
        assert Task is ferrio.Task and Queue is ferrio.Queue
        for name in ferrio._SUBMODULES:
            module = importlib.import_module("asyncio." + name)
            assert module is getattr(ferrio, name) is sys.modules["asyncio." + name] is getattr(asyncio, name)
            assert module.__name__ == module.__spec__.name == "ferrio." + name
        import _asyncio
        assert _asyncio.Task is ferrio.Task
        from importlib.util import find_spec
        assert find_spec("asyncio.locks").origin == ferrio.locks.__file__
        """
    )


@pytest.mark.parametrize("name", ["nonesuch", "cli", "install", "_native", "windows_events"])
def test_nothing_but_asyncios_submodules(program, name):
    program(
        f"""
        import ferrio
        ferrio.install()
        try:
            import asyncio.{name}
        except ModuleNotFoundError as exc:
            assert exc.name == "asyncio.{name}"
        else:
            raise AssertionError("found")
        """
    )


def test_again(program):
    program(
        """
        import sys, ferrio
        ferrio.install()
        finders = list(sys.meta_path)
        ferrio.install()
        ferrio.install_as_asyncio()
        assert sys.meta_path == finders
        """
    )


def test_stock_already_imported(program):
    program(
        """
        import sys, asyncio, asyncio.tasks as tasks
        import concurrent.futures, unittest.mock
        from asyncio import events
        CancelledError, TaskBefore = asyncio.CancelledError, asyncio.Task
        import ferrio, warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ferrio.install()
        assert "__main__: TaskBefore" in str(caught[0].message)

        # The module objects that were imported before give ferrio's objects ...
        for name in ferrio.__all__:
            assert getattr(asyncio, name) is getattr(ferrio, name), name
        assert tasks.Task is ferrio.Task and events.get_running_loop is ferrio.get_running_loop
        assert asyncio.events is ferrio.events and asyncio.__all__ == ferrio.__all__
        assert asyncio.base_events.logger.name == "asyncio"
        # ... and so do imports from now on.
        import asyncio as again
        assert again is ferrio is sys.modules["asyncio"]
        assert sys.modules["asyncio.tasks"] is ferrio.tasks
        # Exceptions that were taken out before are still caught.
        assert ferrio.CancelledError is CancelledError
        assert TaskBefore is not ferrio.Task

        async def main():
            await asyncio.sleep(0)
            return asyncio.current_task()
        assert type(asyncio.run(main())) is ferrio.Task
        """
    )


def test_refused_while_a_stock_loop_runs(program):
    program(
        """
        import asyncio, sys, ferrio
        stock = sys.modules["asyncio"]
        async def main():
            try:
                ferrio.install()
            except RuntimeError as exc:
                assert "while one of its event loops is running" in str(exc)
            else:
                raise AssertionError("installed")
        asyncio.run(main())
        assert sys.modules["asyncio"] is stock and stock.Task is not ferrio.Task
        ferrio.install()
        """
    )


def test_isolated_asyncio_test_case(program):
    program(
        """
        import ferrio
        ferrio.install()
        import unittest, asyncio

        class Case(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.loop = asyncio.get_running_loop()
            async def test_it(self):
                self.assertIs(self.loop, ferrio.get_running_loop())
                self.assertIsInstance(self.loop, ferrio.EventLoop)
                await asyncio.sleep(0)

        result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Case))
        assert result.testsRun == 1 and result.wasSuccessful()
        """
    )


def test_async_mock(program):
    program(
        """
        import ferrio
        ferrio.install()
        import asyncio, inspect
        from unittest import mock
        called = mock.AsyncMock(return_value=3)
        assert asyncio.iscoroutinefunction(called) if inspect.sys.version_info < (3, 14) else True
        assert inspect.iscoroutinefunction(called)
        assert asyncio.run(called(1)) == 3
        called.assert_awaited_once_with(1)
        """
    )


def test_mock_patch_finds_the_logger(program):
    program(
        """
        import ferrio
        ferrio.install()
        from unittest import mock
        import logging
        from ferrio import base_events
        with mock.patch("asyncio.base_events.logger") as logger:
            assert base_events.logger is logger
        assert base_events.logger is logging.getLogger("asyncio")
        """
    )


def test_executors_of_concurrent_futures(program):
    assert (
        program(
            """
            import ferrio
            ferrio.install()
            import asyncio, concurrent.futures
            async def main():
                with concurrent.futures.ThreadPoolExecutor() as pool:
                    return await asyncio.wrap_future(pool.submit(pow, 2, 5))
            print(asyncio.run(main()))
            """
        )
        == "32"
    )


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("early", [False, True], ids=["multiprocessing later", "multiprocessing first"])
def test_multiprocessing_children(python, tmp_path, method, early):
    """A child of multiprocessing has ferrio for its asyncio before it imports anything of the program's."""
    (tmp_path / "work.py").write_text(
        "import asyncio\nname = asyncio.__name__\ndef report(_):\n    return name\n"
    )
    (tmp_path / "main.py").write_text(
        f"""
{"import multiprocessing.spawn" if early else ""}
if __name__ == "__main__":
    import ferrio
    ferrio.install()
    import multiprocessing
    import work
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        print(pool.map(work.report, [1]))
"""
    )
    done = python("main.py", check=True)
    assert done.stdout == "['ferrio']\n"


def test_pickled_exceptions(program):
    program(
        """
        import ferrio
        ferrio.install()
        import asyncio, pickle, sys
        for exc in asyncio.CancelledError("x"), asyncio.IncompleteReadError(b"", 1), asyncio.QueueEmpty():
            copy = pickle.loads(pickle.dumps(exc))
            assert type(copy) is type(exc) and copy.args == exc.args
        assert sys.modules["asyncio.exceptions"] is ferrio.exceptions
        """
    )


@pytest.mark.parametrize("inside", ["a task", "a callback"])
def test_a_fork_after_a_late_install(program, inside):
    """The child has no running loop and no current task, in either world."""
    program(
        f"""
        import asyncio as stock, _asyncio
        import ferrio, os, sys
        ferrio.install()
        import asyncio

        async def child():
            assert asyncio.current_task() is stock.current_task()
            return asyncio.get_running_loop() is _asyncio.get_running_loop()

        def fork():
            assert _asyncio.get_running_loop() is loop
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    assert asyncio._get_running_loop() is None and _asyncio._get_running_loop() is None
                    assert asyncio.run(child())
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0

        async def main():
            global loop
            loop = asyncio.get_running_loop()
            if {inside == "a task"}:
                fork()
            else:
                done = loop.create_future()
                loop.call_soon(lambda: (fork(), done.set_result(None)))
                await done

        asyncio.run(main())
        """
    )
