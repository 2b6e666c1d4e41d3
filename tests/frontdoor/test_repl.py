"""`python -m ferrio`: a prompt that knows `await`."""

import sys

import pytest


@pytest.fixture
def session(python):
    """Type lines at the prompt; returns the CompletedProcess."""

    def run(*lines, **environment):
        return python("-m", "ferrio", stdin="".join(line + "\n" for line in lines), **environment)

    return run


def test_await(session):
    done = session("await asyncio.sleep(0, 'slept')", "asyncio.__name__", "x = 3", "x + 1")
    assert done.returncode == 0
    for wanted in "'slept'", "'ferrio'", "4":
        assert wanted in done.stdout
    assert done.stderr.startswith(f"ferrio REPL {sys.version}")
    assert done.stderr.endswith("exiting ferrio REPL...\n")


def test_one_context_for_all_lines(session):
    done = session(
        "import contextvars",
        "var = contextvars.ContextVar('var')",
        "async def set_it(): var.set('kept')",
        "",
        "await set_it()",
        "var.get()",
    )
    assert "'kept'" in done.stdout


def test_asyncio_is_ferrio_for_imports_too(session):
    assert "True" in session("import asyncio as again, ferrio", "again is ferrio").stdout


def test_traceback_shows_what_was_typed_first(session):
    done = session("async def f(): 1/0", "", "await f()", "'after'")
    first = done.stderr.partition("Traceback (most recent call last):\n")[2].splitlines()[0]
    assert first == '  File "<stdin>", line 1, in <module>'
    assert "ZeroDivisionError" in done.stderr
    assert "'after'" in done.stdout


@pytest.mark.parametrize(("line", "status"), [("exit(4)", 4), ("raise SystemExit(5)", 5), ("", 0)])
def test_exit(session, line, status):
    assert session(line).returncode == status


def test_startup_file_and_prompt(session, tmp_path):
    (tmp_path / "startup.py").write_text("import sys\nsys.ps1 = 'ferrio! '\nstarted = 'by the file'\n")
    done = session("started", PYTHONSTARTUP=str(tmp_path / "startup.py"))
    assert "'by the file'" in done.stdout
    assert "ferrio! " in done.stdout + done.stderr


def test_broken_startup_file(session, tmp_path):
    (tmp_path / "startup.py").write_text("1/0\n")
    done = session("'still here'", PYTHONSTARTUP=str(tmp_path / "startup.py"))
    assert "ZeroDivisionError" in done.stderr
    assert "'still here'" in done.stdout


def test_under_its_stock_name(python):
    """`ferrio run -m asyncio` is `python -m asyncio` with ferrio: the REPL."""
    done = python("-m", "ferrio", "run", "-m", "asyncio", stdin="await asyncio.sleep(0, 6)\n")
    assert done.returncode == 0, done.stderr
    assert "6" in done.stdout
