"""`ferrio run` starts a program as `python` starts it: whatever the program can see is compared with the real thing."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

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


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-m",), "argument expected for the -m option; usage: ferrio run"),
        (("-c",), "argument expected for the -c option; usage: ferrio run"),
        (("-x", "app.py"), "unknown option -x; usage: ferrio run"),
        ((), "usage: ferrio run"),
        (("nonesuch.py",), "can't open file"),
        ((".",), "can't find '__main__' module in"),
        (("-m", "nonesuch"), "No module named nonesuch"),
        (("-m", "nonesuch.inner"), "No module named 'nonesuch'"),
    ],
)
def test_wrong_usage(python, args, words):
    """One line, which says what is wrong, and an exit status."""
    done = python("-m", "ferrio", "run", *args)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert words in line


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


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "FERRIO_DRIVER",
            "kqueue",
            'no event loop: unknown driver "kqueue" in FERRIO_DRIVER: use epoll or io_uring',
        ),
        ("FERRIO_TLS", "fast", 'no tls: unknown value "fast" in FERRIO_TLS: use portable, direct or auto'),
        ("FERRIO_DRIVERS", "epoll", "FERRIO_DRIVERS is no setting of ferrio's; did you mean FERRIO_DRIVER?"),
    ],
)
def test_doctor_finds_what_is_wrong(python, name, value, words):
    done = python("-m", "ferrio", "doctor", **{name: value})
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"PROBLEM    {words}"


def test_doctor_names_the_settings(python):
    done = python(
        "-m", "ferrio", "doctor", FERRIO_FILES="pool", FERRIO_GATHER_WRITES="0", FERRIO_TEST_IMPL="ferrio"
    )
    assert done.returncode == 0
    assert "settings   FERRIO_FILES=pool, FERRIO_GATHER_WRITES=0\n" in done.stdout


SANDBOX = """
import ctypes, os, platform, struct, sys
# seccomp: the system call answers with an error.
call = {"x86_64": {"epoll": 291, "eventfd": 290}, "aarch64": {"epoll": 20, "eventfd": 19}}
try:
    number = call[platform.machine()][sys.argv[1]]
except KeyError:
    sys.exit("cannot: the system calls of this machine are not listed here")
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | int(sys.argv[2])), (0x06, 0, 0, 0x7FFF0000)]
code = b"".join(struct.pack("=HBBI", *step) for step in steps)
buffer = ctypes.create_string_buffer(code, len(code))
program = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
libc, zero = ctypes.CDLL(None, use_errno=True), ctypes.c_ulong(0)
if libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(22, ctypes.c_ulong(2), program, zero, zero):
    sys.exit("cannot: " + os.strerror(ctypes.get_errno()))
sys.argv[:] = sys.argv[3:]
if sys.argv[0] == "doctor":
    from ferrio.cli import main
    sys.exit(main(sys.argv))
import ferrio
try:
    ferrio.run(ferrio.sleep(0))
except OSError as exc:
    print(type(exc).__name__, exc)
"""


@pytest.mark.parametrize("call", ["epoll", "eventfd"])
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_a_kernel_that_refuses(python, call, error):
    done = python("-c", SANDBOX, call, error, "run")
    if done.stderr.startswith("cannot: "):
        pytest.skip(f"no system call can be refused here: {done.stderr}")
    words = "the kernel or a sandbox refuses epoll or eventfd, with which ferrio's event loop waits: allow "
    assert f"[Errno {error}] {words}" in done.stdout, done.stderr
    assert os.strerror(error) in done.stdout
    done = python("-c", SANDBOX, call, error, "doctor")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith(f"PROBLEM    no event loop: [Errno {error}] {words}")


@pytest.fixture
def copied(tmp_path):
    """The package in a place of its own, without an extension."""
    import ferrio

    place = tmp_path / "site" / "ferrio"
    shutil.copytree(Path(ferrio.__file__).parent, place, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return place


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "has no extension; build it: `make develop` in a checkout, else `"),
        (["_ferrio.cpython-39-x86_64-linux-gnu.so"], "is built for Python 3.9, and this is Python 3."),
        (
            ["_ferrio.cpython-310-x86_64-linux-gnu.so", "_ferrio.cpython-313t-x86_64-linux-gnu.so"],
            "is built for Python 3.10, 3.13t, and this is Python 3.",
        ),
        (
            ["_ferrio" + EXTENSION_SUFFIXES[0]],
            "does not load on this system (file too short); build ferrio here: `",
        ),
    ],
)
def test_an_extension_for_another_python(python, copied, files, words):
    """One line says what to do, whether the package is imported or the command is started."""
    for name in files:
        (copied / name).touch()
    imported = python("-c", "import ferrio", PYTHONPATH=str(copied.parent))
    assert imported.returncode == 1
    line = imported.stderr.splitlines()[-1]
    assert line.startswith("ImportError: ferrio")
    assert words in line
    assert f"{sys.executable} -m pip install" in line
    started = python("-m", "ferrio", "run", "app.py", PYTHONPATH=str(copied.parent))
    assert started.returncode == 1
    (line,) = started.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize("command", ["top", "bench", "nonesuch"])
def test_commands_that_are_not_there(python, command):
    done = python("-m", "ferrio", command, "1")
    assert done.returncode == 2
    assert command in done.stderr
