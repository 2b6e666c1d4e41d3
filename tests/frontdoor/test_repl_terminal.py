"""`python -m ferrio` as one uses it, on a terminal: with the console of the Python at hand, and with the plain one."""

import os
import sys
import textwrap

import pytest
from terminal import Terminal

CTRL_C, CTRL_D, UP, TAB = "\x03", "\x04", "\x1bOA", "\t"

PROMPT = r">>> $"

CONSOLES = {"plain": {"PYTHON_BASIC_REPL": "1"}}
if sys.version_info >= (3, 13):
    CONSOLES["of 3.13"] = {}


@pytest.fixture(params=CONSOLES)
def console(request):
    return CONSOLES[request.param]


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def session(console, home, impl):
    """Starts a session and waits for its first prompt."""
    started = []

    def start(*options, prompt=PROMPT, **environment):
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in ("NO_COLOR", "FORCE_COLOR", "PYTHON_COLORS", "PYTHONSTARTUP", "PYTHON_BASIC_REPL")
        }
        environment = {
            **inherited,
            "HOME": str(home),
            "PYTHON_HISTORY": str(home / ".python_history"),
            "TERM": "xterm",
            **console,
            **environment,
        }
        module = "asyncio" if impl == "stock" else "ferrio"
        terminal = Terminal([sys.executable, *options, "-m", module], cwd=home, env=environment)
        started.append(terminal)
        terminal.__enter__()
        terminal.wait_for(r"import\S* (ferrio as )?asyncio")
        terminal.wait_for(prompt)
        return terminal

    yield start
    for terminal in started:
        terminal.__exit__()


def ask(terminal, line, answer):
    """Type a line; wait for its answer and the prompt after it. The line itself is echoed, and is not the answer."""
    terminal.line(line)
    seen = terminal.wait_for(answer)
    terminal.wait_for(PROMPT)
    return seen


def define(terminal, source):
    """Have the session run a piece of source. Typed line by line, the newer console would indent it further."""
    ask(terminal, f"exec({textwrap.dedent(source).strip()!r}); print('def' + 'ined')", "defined")


def test_await(session):
    terminal = session()
    ask(terminal, "await asyncio.sleep(0, 6 * 7)", r"\n[^\n]*42\r?\n")
    ask(terminal, "x = await asyncio.sleep(0, 1000); x + 1", "1001")
    terminal.line("exit()")
    status, shown = terminal.ended()
    assert status == 0
    assert "REPL..." in shown
    assert "Traceback" not in shown


def test_interrupting_what_is_awaited(session):
    terminal = session()
    ask(terminal, "started = asyncio.Event()", "started")
    terminal.line("started.set(); print('wai' + 'ting'); await asyncio.sleep(3600)")
    terminal.wait_for("waiting")
    terminal.type(CTRL_C)
    terminal.wait_for("KeyboardInterrupt")
    terminal.wait_for(PROMPT)
    ask(terminal, "print('al' + 'ive', len(asyncio.all_tasks()) < 2)", "alive True")


def test_interrupting_several_times(session, console, impl):
    """Wherever it comes: the newer console runs a line statement by statement, and it may come between two."""
    if impl == "stock" and not console:
        pytest.skip("asyncio's loses those that come between two statements")
    terminal = session()
    for turn in range(8):
        terminal.line(f"print('turn' + '{turn}'); await asyncio.Event().wait()")
        terminal.wait_for(f"turn{turn}")
        terminal.type(CTRL_C)
        terminal.wait_for("KeyboardInterrupt")
        terminal.wait_for(PROMPT)
    ask(terminal, "print('al' + 'ive')", "alive")


def test_interrupting_the_prompt(session, console):
    terminal = session()
    terminal.type("half a li")
    terminal.wait_for("half a li")
    terminal.type(CTRL_C)
    if not console:
        terminal.wait_for("KeyboardInterrupt")
        terminal.wait_for(PROMPT)
    else:
        # The plain console reads in another thread: the line stays, and can be edited. What comes next may be quicker
        # than the signal, which then is for that.
        terminal.type("\x15")
        terminal.line("print('al' + 'ive')")
        terminal.wait_for("alive|KeyboardInterrupt")
        terminal.wait_for(PROMPT)
    ask(terminal, "print('still al' + 'ive')", "still alive")


def test_a_task_that_does_not_let_itself_be_cancelled(session):
    terminal = session()
    define(
        terminal,
        """
        async def stubborn():
            try: await asyncio.sleep(3600)
            except asyncio.CancelledError: return 'would' + ' not'
        """,
    )
    terminal.line("print('wai' + 'ting'); await stubborn()")
    terminal.wait_for("waiting")
    terminal.type(CTRL_C)
    terminal.wait_for("would not|KeyboardInterrupt")
    terminal.wait_for(PROMPT)
    ask(terminal, "print('al' + 'ive')", "alive")


def test_background_tasks_run_on(session):
    terminal = session()
    define(terminal, "async def count(): await asyncio.sleep(0.01); print('from the' + ' background')")
    terminal.line("task = asyncio.create_task(count())")
    # Nothing is typed meanwhile.
    terminal.wait_for("from the background")
    ask(terminal, "print('do' + 'ne', task.done())", "done True")


def test_history(session, home):
    terminal = session()
    ask(terminal, "print('remem' + 'bered')", "remembered")
    ask(terminal, "'one' + 'two'", "onetwo")
    terminal.type(UP)
    terminal.wait_for(r"'one' \+ 'two'")
    terminal.type(UP + "\r")
    terminal.wait_for("remembered")
    terminal.wait_for(PROMPT)
    terminal.line("exit()")
    assert terminal.ended()[0] == 0
    assert "print('remem' + 'bered')" in (home / ".python_history").read_text()
    again = session()
    again.type(UP * 2 + "\r")
    again.wait_for("remembered")


def test_completion(session):
    terminal = session()
    ask(terminal, "a_name_of_the_session = 'comp' + 'leted'", r"'leted'")
    terminal.type("print(a_name_of" + TAB)
    terminal.wait_for("a_name_of_the_session")
    terminal.line(")")
    terminal.wait_for("completed")
    terminal.wait_for(PROMPT)
    terminal.type("asyncio.create_ta" + TAB)
    terminal.wait_for(r"create_task")


def test_colours(session, console):
    terminal = session()
    ask(terminal, "1/0", "ZeroDivisionError")
    assert ("\x1b[1;35m" in terminal.raw) is (not console)
    plain = session(NO_COLOR="1")
    ask(plain, "1/0", "ZeroDivisionError")
    assert "\x1b[1;35m" not in plain.raw


@pytest.mark.parametrize("how", ["exit()", "quit()", "raise SystemExit(0)", CTRL_D])
def test_leaving_cleans_up(session, impl, how):
    """Tasks are cancelled and may clean up, generators are closed; nothing is reported."""
    if impl == "stock":
        pytest.skip("asyncio's leaves them pending")
    terminal = session()
    define(
        terminal,
        """
        async def work():
            try: await asyncio.sleep(3600)
            finally: await asyncio.sleep(0); print('cleaned' + ' up')
        """,
    )
    ask(
        terminal,
        "task = asyncio.create_task(work()); await asyncio.sleep(0); print('run' + 'ning')",
        "running",
    )
    ask(terminal, "unawaited = work(); print('ma' + 'de')", "made")
    terminal.type(how if how == CTRL_D else how + "\r")
    status, shown = terminal.ended()
    assert status == 0
    assert "cleaned up" in shown
    for word in "destroyed", "never", "Traceback", "Exception":
        assert word not in shown


def test_exit_status(session):
    terminal = session()
    terminal.line("exit(7)")
    assert terminal.ended()[0] == 7


def test_exit_in_a_task(session, impl):
    terminal = session()
    define(terminal, "async def leave(): raise SystemExit(5)")
    terminal.line("await leave()")
    assert terminal.ended()[0] == 5


def test_startup_file(session, home):
    (home / "startup.py").write_text("import sys\nsys.ps1 = 'mine> '\nstarted = 'by the' + ' file'\n")
    terminal = session(prompt=r"mine> ", PYTHONSTARTUP=str(home / "startup.py"))
    terminal.line("started")
    terminal.wait_for("by the file")


@pytest.mark.parametrize("content", ["1/0", "x = = 1", None])
def test_a_startup_file_that_fails(session, home, content):
    path = home / "startup.py"
    if content is not None:
        path.write_text(content)
    terminal = session(PYTHONSTARTUP=str(path))
    ask(terminal, "print('al' + 'ive')", "alive")


def test_no_environment_and_no_banner(session, home, impl):
    if impl == "stock" and sys.version_info < (3, 14):
        pytest.skip("this Python's asyncio does not look")
    (home / "startup.py").write_text("print('start' + 'ed')\n")
    terminal = session("-q", PYTHONSTARTUP=str(home / "startup.py"))
    ask(terminal, "print('al' + 'ive')", "alive")


@pytest.mark.parametrize("how", ["at the prompt", "in a task"])
def test_interrupting_code_that_does_not_await(session, how):
    """It has the loop's thread to itself."""
    terminal = session()
    define(
        terminal,
        """
        def spin():
            print('spin' + 'ning')
            while True: pass
        async def spin_in_a_task():
            spin()
        """,
    )
    terminal.line("spin()" if how == "at the prompt" else "await spin_in_a_task()")
    terminal.wait_for("spinning")
    terminal.type(CTRL_C)
    terminal.wait_for("KeyboardInterrupt")
    terminal.wait_for(PROMPT)
    ask(terminal, "print('al' + 'ive')", "alive")
