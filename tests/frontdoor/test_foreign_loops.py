"""Under `ferrio run` a loop that is not ferrio's is told of on stderr, once, and how to have ferrio instead."""

import textwrap

import pytest
from ferrio.cli.foreign import SERVERS

# A loop as uvloop's are: on asyncio's abstract class, and known to asyncio while it runs.
FOREIGN = """
import asyncio

class Loop(asyncio.AbstractEventLoop):
    def run_forever(self):
        asyncio._set_running_loop(self)
        print("runs on", type(asyncio.get_running_loop()).__name__)
        asyncio._set_running_loop(None)
"""


@pytest.fixture
def loop_package(tmp_path):
    """A package `otherloop`, in the directory that the program runs in."""
    (tmp_path / "otherloop.py").write_text(FOREIGN)
    return tmp_path


def ferrio_run(python, source, **environment):
    done = python("-m", "ferrio", "run", "-c", textwrap.dedent(source), **environment)
    assert done.returncode == 0, done.stderr
    return done


def test_the_first_one_is_told_of(python, loop_package):
    done = ferrio_run(
        python,
        """
        import otherloop
        print("before")
        otherloop.Loop().run_forever()
        otherloop.Loop().run_forever()
        """,
    )
    assert done.stdout.splitlines() == ["before", "runs on Loop", "runs on Loop"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("ferrio: this runs on otherloop.Loop, not on ferrio's event loop.")
    assert "chooses it by name" in line


@pytest.mark.parametrize("server", SERVERS)
def test_the_server_has_its_remedy(python, loop_package, server):
    (loop_package / f"{server}.py").write_text("")
    done = ferrio_run(python, f"import {server}, otherloop\notherloop.Loop().run_forever()")
    (line,) = done.stderr.splitlines()
    assert line.endswith(f"To have ferrio instead: {server}: {SERVERS[server][1]}")


def test_workers_are_told_of_too(python, loop_package):
    """Servers start their workers by multiprocessing's spawn."""
    (loop_package / "server.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing

            def work():
                import otherloop
                otherloop.Loop().run_forever()

            if __name__ == "__main__":
                worker = multiprocessing.get_context("spawn").Process(target=work)
                worker.start()
                worker.join()
            """
        )
    )
    done = python("-m", "ferrio", "run", "server.py", check=True)
    assert done.stdout == "runs on Loop\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("ferrio: this runs on otherloop.Loop")


def test_nothing_is_said_of_ferrio(python):
    done = ferrio_run(
        python,
        """
        import asyncio

        class Derived(asyncio.SelectorEventLoop):
            pass

        async def main():
            return asyncio.get_running_loop()

        with asyncio.Runner(loop_factory=Derived) as runner:
            runner.run(main())
        asyncio.run(main())
        loop = asyncio.new_event_loop()
        asyncio._set_running_loop(loop)
        asyncio._set_running_loop(None)
        loop.close()
        """,
    )
    assert done.stderr == ""


def test_nothing_is_said_without_ferrio_run(python, loop_package):
    source = "import ferrio; ferrio.install()\nimport otherloop\notherloop.Loop().run_forever()"
    done = python("-c", source, check=True)
    assert (done.stdout, done.stderr) == ("runs on Loop\n", "")


def test_a_program_without_stderr(python, loop_package):
    done = ferrio_run(python, "import sys, otherloop\nsys.stderr = None\notherloop.Loop().run_forever()")
    assert done.stdout == "runs on Loop\n"


def test_doctor(python, tmp_path):
    (tmp_path / "uvloop.py").write_text("")
    (tmp_path / "uvicorn").mkdir()
    (tmp_path / "uvicorn" / "__init__.py").write_text("")
    out = python("-m", "ferrio", "doctor", "-m", "uvicorn", check=True).stdout
    assert "module     uvicorn: installed\n" in out
    assert "loops      uvloop" in out
    assert "its loop   uvicorn takes uvloop if it is installed; to have ferrio: --loop asyncio\n" in out
    assert "driver" in out


def test_doctor_of_any_module(python, tmp_path):
    out = python("-m", "ferrio", "doctor", "-m", "nonesuch.app", check=True).stdout
    assert "module     nonesuch.app: not installed\n" in out
    assert "its loop   ferrio's, unless nonesuch chooses another by name" in out


@pytest.mark.parametrize("args", [["-m"], ["uvicorn"], ["-m", "uvicorn", "app:app"]])
def test_doctor_refuses_other_arguments(python, args):
    done = python("-m", "ferrio", "doctor", *args)
    assert done.returncode == 2
    assert done.stderr == "ferrio: usage: ferrio doctor [-m MODULE]\n"
