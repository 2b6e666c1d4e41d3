"""`ferrio run`: a program runs as `python` would run it, and its asyncio is ferrio.

What a program can tell about how it was started is the interpreter's doing, so it is done again here as the
interpreter does it: a fresh `__main__`, `sys.argv`, `sys.path[0]`, the compile flags, `__file__` and the rest.  An
exception leaves through the interpreter's own end of the main program (exit statuses, `SystemExit`, death by SIGINT
after a KeyboardInterrupt are its business), shown from the program's own first frame.
"""

import sys

# asyncio's import brings it, ferrio's does not. A tool that looks at the process from outside finds the names of
# threads there, the main thread's too (py-spy).
import threading

from .. import _ferrio
from ..install import install
from . import fail, foreign

USAGE = "usage: ferrio run [--monitor] (SCRIPT | -m MODULE | -c CODE | -) [ARGS]"


def main(argv):
    """Run the program that *argv* names; returns its exit status, 0 unless it raises."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] == "--monitor":
        _ferrio._enable_monitor()
        argv = argv[1:]
        if not argv:
            return fail(USAGE)
    target, rest = argv[0], argv[1:]
    if target in ("-m", "-c"):
        if not rest:
            return fail(f"argument expected for the {target} option; {USAGE}")
        run = _run_module if target == "-m" else _run_code
    elif target == "-":
        run = _run_stdin
    elif target.startswith("-"):
        return fail(f"unknown option {target}; {USAGE}")
    else:
        run, rest = _run_script, argv
    install()
    foreign.watch()
    try:
        return run(rest)
    except SystemExit:
        raise
    except BaseException as exc:
        _show_from(_program_traceback(exc.__traceback__))
        raise


def _run_script(argv):
    import os
    import pkgutil

    sys.argv = argv
    path = os.path.abspath(argv[0])
    if pkgutil.get_importer(path) is not None:
        # A directory or a zip file with a __main__ module.
        _put_first_on_path(path)
        return _run_as_main("__main__", alter_argv=False)
    try:
        with _open_code(path) as file:
            code = pkgutil.read_code(file)
            if code is None:
                file.seek(0)
                source = file.read()
    except OSError as exc:
        return fail(f"can't open file {path!r}: [Errno {exc.errno}] {exc.strerror}")
    _put_first_on_path(os.path.dirname(os.path.realpath(path)))

    from importlib.machinery import SourceFileLoader, SourcelessFileLoader

    loader = SourceFileLoader if code is None else SourcelessFileLoader
    namespace = _fresh_main(loader("__main__", path), __file__=path)
    if code is None:
        code = compile(source, path, "exec", dont_inherit=True)
    exec(code, namespace)
    return 0


def _run_module(argv):
    import os

    # As `python -m` leaves it while it looks for the module; the module's file comes in its place.
    sys.argv = ["-m", *argv[1:]]
    _put_first_on_path(os.getcwd())
    return _run_as_main(argv[0], alter_argv=True)


def _run_code(argv):
    sys.argv = ["-c", *argv[1:]]
    if sys.version_info >= (3, 13):
        # From then on tracebacks show the lines of code given on the command line.
        import linecache

        linecache.cache["<string>"] = (len(argv[0]), None, argv[0].splitlines(keepends=True), "<string>")
    return _run_source(argv[0], "<string>", {})


def _run_stdin(argv):
    sys.argv = ["-", *argv]
    return _run_source(sys.stdin.buffer.read(), "<stdin>", {"__file__": "<stdin>"})


def _run_source(source, filename, attributes):
    from importlib.machinery import BuiltinImporter

    _put_first_on_path("")
    namespace = _fresh_main(BuiltinImporter, **attributes)
    exec(compile(source, filename, "exec", dont_inherit=True), namespace)
    return 0


def _run_as_main(module, alter_argv):
    # runpy's own entry for `python -m`: the public run_module() puts the old __main__ back at the end, and whatever
    # runs after that (atexit, threads, unpickling) would miss the program's.
    import runpy

    _fresh_main(None)
    runpy._run_module_as_main(module, alter_argv)
    return 0


def _open_code(path):
    import io

    return io.open_code(path)


def _fresh_main(loader, **attributes):
    """Put a new, empty `__main__` module in place, as the interpreter starts with; returns its namespace."""
    import builtins
    from types import ModuleType

    module = ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __loader__=loader, **attributes)
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    if sys.version_info < (3, 15) and "__file__" in attributes:
        module.__cached__ = None
    _old_main.append(sys.modules["__main__"])
    sys.modules["__main__"] = module
    return module.__dict__


# Kept: our caller's frames still run in it, and a module that is dropped may have its globals cleared.
_old_main = []


def _put_first_on_path(entry):
    """Set `sys.path[0]`, where the interpreter has put our own place unless it was told to be safe (-P, -I)."""
    if not sys.flags.safe_path:
        sys.path[0] = entry


def _program_traceback(tb):
    """The traceback from the program's first frame on: without the command's, runpy's and the import system's."""
    package = __package__.partition(".")[0]
    ours = (package, "runpy")
    while tb is not None:
        frame = tb.tb_frame
        name = frame.f_globals.get("__name__", "")
        runs_program = frame.f_code.co_filename == "<frozen runpy>" or name.partition(".")[0] in ours
        if not runs_program and not _is_caller(frame):
            break
        tb = tb.tb_next
    return tb


def _is_caller(frame):
    """Whether the frame belongs to the `__main__` that called us: the console script."""
    return any(frame.f_globals is module.__dict__ for module in _old_main)


def _show_from(tb):
    """Have the interpreter show the exception that is about to end the program with this traceback."""
    show = sys.excepthook

    def excepthook(kind, exc, _):
        sys.excepthook = show
        show(kind, exc.with_traceback(tb), tb)

    sys.excepthook = excepthook
