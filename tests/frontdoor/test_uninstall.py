"""`uninstall()` undoes `install()`; and what `install()` says about names that were taken out of asyncio before."""

import pytest

STATE = """
import importlib, sys

def state():
    'All that install() may change of stock asyncio.'
    modules = {name: module for name, module in sys.modules.items()
               if name.partition(".")[0] in ("asyncio", "_asyncio")}
    return modules, {name: dict(vars(module)) for name, module in modules.items()}
"""


def test_stock_was_there_before(program):
    program(
        STATE
        + """
import asyncio
before = state()
import ferrio
importlib.import_module("asyncio.tasks")
known = state()  # ferrio shares the registry of tasks, and says so when it is imported
for turn in range(3):
    ferrio.install()
    assert asyncio.Task is ferrio.Task and sys.modules["asyncio"] is ferrio
    assert asyncio.run(asyncio.sleep(0, 3)) == 3
    ferrio.uninstall()
    assert sys.modules["asyncio"] is asyncio and asyncio.Task is not ferrio.Task
    after = state()
    assert after[0] == known[0]
    for name, namespace in known[1].items():
        changed = {key for key in namespace.keys() | after[1][name].keys()
                   if namespace.get(key, state) is not after[1][name].get(key, state)}
        # A loop that has run leaves its traces, and importing leaves submodules' names.
        assert changed <= {"__warningregistry__"}, (name, changed)
    import asyncio as again
    assert again is asyncio
    ferrio.uninstall()

async def main():
    return type(asyncio.current_task())

assert asyncio.run(main()) is asyncio.Task
"""
    )


def test_stock_was_not_there(program):
    program(
        """
        import sys, ferrio
        for turn in range(3):
            ferrio.install()
            import asyncio, asyncio.locks
            assert asyncio is ferrio and asyncio.locks is ferrio.locks
            ferrio.uninstall()
            assert not [name for name in sys.modules if name.partition(".")[0] in ("asyncio", "_asyncio")]
        import asyncio
        assert asyncio is not ferrio and asyncio.__file__ != ferrio.__file__
        assert asyncio.CancelledError is ferrio.CancelledError

        async def main():
            await ferrio.sleep(0)
            return type(asyncio.current_task())

        assert asyncio.run(main()) is asyncio.Task
        assert ferrio.run(main()) is ferrio.Task
        ferrio.install()
        """
    )


def test_refused_while_a_loop_runs(program):
    program(
        """
        import ferrio
        ferrio.install()
        async def main():
            try:
                ferrio.uninstall()
            except RuntimeError as exc:
                assert "while an event loop is running" in str(exc)
            else:
                raise AssertionError
        ferrio.run(main())
        ferrio.uninstall()
        """
    )


def test_children_of_multiprocessing_follow(python, tmp_path):
    (tmp_path / "main.py").write_text(
        """
import multiprocessing

def report(_):
    import asyncio
    return asyncio.__name__

if __name__ == "__main__":
    import ferrio
    context = multiprocessing.get_context("spawn")
    for step in ferrio.install, ferrio.uninstall, ferrio.install, ferrio.uninstall:
        step()
        with context.Pool(1) as pool:
            print(*pool.map(report, [1]))
"""
    )
    assert python("main.py", check=True).stdout.split() == ["ferrio", "asyncio"] * 2


@pytest.fixture
def library(tmp_path):
    """A package of somebody's that takes names out of asyncio in some ways."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "__init__.py").write_text(
        "import asyncio\nfrom asyncio import CancelledError, Queue as Q, TimeoutError, run\nfrom . import inner\n"
    )
    (tmp_path / "library" / "inner.py").write_text(
        "from asyncio import events, FIRST_COMPLETED\nfrom asyncio.tasks import gather\nimport asyncio.tasks\n"
    )


def test_names_that_were_taken_before(python, library):
    done = python(
        "-c",
        """
import library, ferrio, sys, warnings
ferrio.install()
ferrio.install()
ferrio.uninstall()
print(library.Q is __import__("asyncio").Queue)
""",
        check=True,
        PYTHONWARNINGS="default",
    )
    lines = [line for line in done.stderr.splitlines() if "Warning" in line]
    assert len(lines) == 1
    assert lines[0].startswith("<string>:3: RuntimeWarning: ")
    assert (
        "library: Q, run; library.inner: gather. To have ferrio's there too, call ferrio.install()"
        in lines[0]
    )
    assert "`ferrio run`" in lines[0]
    assert done.stdout == "True\n"


def test_nothing_was_taken(python, library):
    """Whole modules, exceptions and the standard library's own imports are nothing to tell."""
    program = "import asyncio, unittest.mock, concurrent.futures, asyncio.tasks as tasks\n"
    program += "from asyncio import CancelledError, events\nimport ferrio\nferrio.install()\n"
    assert python("-W", "error", "-c", program, check=True).stderr == ""


def test_a_warning_that_is_an_error_comes_last(python, library):
    """What is installed is whole by then."""
    python(
        "-W",
        "error",
        "-c",
        """
import library, ferrio, sys
try:
    ferrio.install()
except RuntimeWarning as exc:
    assert "library.inner: gather" in str(exc)
else:
    raise AssertionError
import asyncio
assert asyncio is ferrio and asyncio.run(asyncio.sleep(0, 1)) == 1
ferrio.uninstall()
""",
        check=True,
    )


def test_modules_that_load_later_are_left_alone(python, tmp_path):
    """Looking for names must not load what is loaded when it is first looked at."""
    (tmp_path / "lazy.py").write_text("print('loaded')\n")
    done = python(
        "-c",
        """
import asyncio, importlib.util, sys
spec = importlib.util.find_spec("lazy")
spec.loader = importlib.util.LazyLoader(spec.loader)
module = importlib.util.module_from_spec(spec)
sys.modules["lazy"] = module
spec.loader.exec_module(module)
import ferrio
ferrio.install()
print("installed")
""",
        check=True,
    )
    assert done.stdout == "installed\n"
