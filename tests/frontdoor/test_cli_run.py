"""`ferrio run` starts a program as `python` starts it: whatever the program can see is compared with the real thing."""

import signal
import subprocess
import sys
import zipfile

import pytest

SHOW = """
import sys
main = sys.modules["__main__"]
print(__name__, main.__dict__ is globals())
print(sys.argv)
print(sys.path[0])
print(*(repr(globals().get(name, "missing")) for name in ("__file__", "__package__", "__doc__", "__cached__")))
print(type(__loader__).__name__, getattr(__loader__, "name", None), getattr(__spec__, "name", None))
print(sorted(name for name in globals() if name.startswith("__")))
"""


@pytest.fixture
def both(python):
    """Run the same program under python and under ferrio run; returns both results."""

    def run(*args, **kwargs):
        return python(*args, **kwargs), python("-m", "ferrio", "run", *args, **kwargs)

    return run


@pytest.fixture
def app(tmp_path):
    """Write app.py."""

    def write(source, name="app.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
        return path

    return write


def same(results):
    plain, ferrio = results
    assert (ferrio.stdout, ferrio.stderr, ferrio.returncode) == (plain.stdout, plain.stderr, plain.returncode)
    return ferrio


def test_script(both, app):
    app(SHOW)
    assert same(both("app.py", "a", "--b", "-c")).returncode == 0


def test_script_elsewhere(both, app, tmp_path):
    path = app(SHOW, "sub/app.py")
    same(both(path))
    (tmp_path / "link.py").symlink_to(path)
    done = same(both("link.py"))
    assert done.stdout.splitlines()[2] == str(path.parent)


def test_directory_and_zip_file(both, app, tmp_path):
    path = app(SHOW, "sub/__main__.py")
    same(both("sub", "x"))
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.write(path, "__main__.py")
    same(both("app.zip", "x"))


def test_compiled_file(both, app, tmp_path):
    import py_compile

    py_compile.compile(str(app(SHOW)), cfile=str(tmp_path / "compiled.pyc"))
    same(both("compiled.pyc", "x"))


def test_module(both, app):
    app(SHOW, "module.py")
    app("", "package/__init__.py")
    app(SHOW, "package/__main__.py")
    app(SHOW, "package/inner.py")
    for name in "module", "package", "package.inner":
        assert same(both("-m", name, "a", "-m")).returncode == 0


def test_code(both):
    same(both("-c", SHOW, "a", "-c"))


def test_standard_input(both):
    same(both("-", "a", stdin=SHOW))


def test_safe_path(python, app):
    app("import sys; print(sys.path[0])")
    plain = python("-P", "app.py", check=True)
    assert python("-P", "-m", "ferrio", "run", "app.py", check=True).stdout == plain.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "raise SystemExit",
        "raise SystemExit(0)",
        "raise SystemExit(7)",
        "raise SystemExit('last words')",
        "import sys; sys.exit((1, 2))",
        "import os; os._exit(5)",
        "1/0",
        "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
        "def f():\n    g()\ndef g():\n    raise ValueError('deep')\nf()",
        "try:\n    1/0\nexcept ZeroDivisionError:\n    raise KeyError('chained')",
        "x = = 1",
        "import nonesuch",
        "import atexit\natexit.register(print, 'at exit')\nraise ValueError",
        "import sys\nsys.excepthook = lambda *args: print('hook', args[:2])\n1/0",
        "import threading\nthreading.Timer(0.01, print, ['thread']).start()\n1/0",
    ],
)
@pytest.mark.parametrize("how", ["script", "module"])
def test_how_it_ends(both, app, how, statement):
    """Exit status, output and traceback are those of python: no frame of ferrio's or of runpy's is to be seen."""
    app(statement + "\n")
    plain, ferrio = both(*(["app.py"] if how == "script" else ["-m", "app"]))
    if how == "module":
        plain.stderr = without_runpy(plain.stderr)
    same((plain, ferrio))


@pytest.mark.parametrize("code", ["1/0", "def f():\n    1/0\nf()", "raise SystemExit(3)", "x = = 1"])
def test_how_code_ends(both, code):
    same(both("-c", code))
    same(both("-", stdin=code))


def without_runpy(text):
    """The interpreter itself shows runpy's frames with -m; ours leaves them out."""
    kept = [part for part in text.split("  File ") if not part.startswith('"<frozen runpy>"')]
    return "  File ".join(kept)


def test_file_that_is_not_there(both):
    plain, ferrio = both("nonesuch.py")
    assert ferrio.returncode == plain.returncode == 2
    assert ferrio.stderr.partition(": ")[2] == plain.stderr.partition(": ")[2]


def test_module_that_is_not_there(both):
    same(both("-m", "nonesuch"))


@pytest.mark.parametrize("args", [("-m",), ("-c",), ("-x", "app.py"), ()])
def test_wrong_usage(python, args):
    assert python("-m", "ferrio", "run", *args).returncode == 2


def test_keyboard_interrupt_ends_by_the_signal(both, app):
    app("import signal\nprint('started', flush=True)\nsignal.raise_signal(signal.SIGINT)\n")
    plain, ferrio = both("app.py")
    assert ferrio.returncode == plain.returncode == -signal.SIGINT
    assert ferrio.stderr == plain.stderr
    assert ferrio.stderr.endswith("KeyboardInterrupt\n")


def test_interrupted_from_outside(app, tmp_path):
    app(
        """
import asyncio

async def main():
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    )
    with subprocess.Popen(
        [sys.executable, "-m", "ferrio", "run", "app.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout.readline() == "up\n"
            child.send_signal(signal.SIGINT)
            _, stderr = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == -signal.SIGINT
    assert f'  File "{tmp_path}/app.py", line 8, in <module>' in stderr
    assert "runpy" not in stderr
    assert "/cli/" not in stderr


def test_asyncio_is_ferrio(python, app):
    app("import asyncio, asyncio.tasks\nprint(asyncio.__name__, asyncio.tasks.__name__)")
    assert python("-m", "ferrio", "run", "app.py", check=True).stdout == "ferrio ferrio.tasks\n"


def test_main_can_be_pickled_by_children(python, app):
    """multiprocessing finds the program's main module and imports it in the child, where ferrio is asyncio too."""
    app(
        """
import asyncio, multiprocessing

def report(_):
    return __name__, asyncio.__name__

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(report, [1]))
"""
    )
    assert python("-m", "ferrio", "run", "app.py", check=True).stdout == "[('__mp_main__', 'ferrio')]\n"


def test_warnings_of_the_main_module_are_shown(both, app):
    app("import warnings\nwarnings.warn('old', DeprecationWarning)\n")
    assert "DeprecationWarning: old" in same(both("app.py")).stderr


def test_console_script(python, app):
    """The installed `ferrio` command is a script that calls main(); its frame is not the program's."""
    app("import sys\nfrom ferrio.cli import main\nsys.exit(main())\n", "bin/ferrio")
    app("def f():\n    1/0\nf()\n")
    done = python("bin/ferrio", "run", "app.py")
    plain = python("app.py")
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr)


def test_version(python):
    import ferrio

    assert python("-m", "ferrio", "--version", check=True).stdout == f"ferrio {ferrio.__version__}\n"


def test_help(python):
    assert python("-m", "ferrio", "--help", check=True).stdout.startswith("usage: ferrio")
    assert python("-m", "ferrio", "run", "--help", check=True).stdout.startswith("usage: ferrio run")


def test_doctor(python):
    from ferrio._not_yet import NOT_YET

    out = python("-m", "ferrio", "doctor", check=True).stdout
    fields = dict(line.split(maxsplit=1) for line in out.splitlines() if line.strip())
    assert sys.executable in fields["python"]
    for name in NOT_YET:
        assert name in out


@pytest.mark.parametrize("command", ["ps", "pstree", "top", "bench", "nonesuch"])
def test_commands_that_are_not_there(python, command):
    done = python("-m", "ferrio", command, "1")
    assert done.returncode == 2
    assert command in done.stderr
