#!/usr/bin/env python3
"""The child process: install the package as asyncio, then run one module of test.test_asyncio.

It is a script, ``worker.py SPEC``, and also what multiprocessing's spawn and forkserver descendants of a
test run as ``__mp_main__``; both ways the package has to be installed before anything imports asyncio, so
nothing at the top of this file may.  What happens is told to the parent as JSON lines in the file that SPEC
names.
"""

import faulthandler
import fcntl
import fnmatch
import importlib
import inspect
import json
import os
import signal
import sys
import traceback
import warnings

from baseline import PREFIX, short_id
from install import ENV_ALIAS, bootstrap_code, install, is_stock


def open_events(path):
    """Return ``emit(ev, **fields)``, which appends one JSON line to the file at *path*."""
    pid = os.getpid()
    low = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    # Keep the descriptor out of the range that tests hard-code or expect free.
    fd = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 200)
    os.close(low)

    def emit(ev, **fields):
        if os.getpid() != pid:  # a forked test child
            return
        fields["ev"] = ev
        os.write(fd, (json.dumps(fields) + "\n").encode())

    return emit


def usual_signals():
    """Undo what the shell did: background jobs start with SIGINT ignored, and nohup's with SIGHUP."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGQUIT", "SIGTERM", "SIGCHLD", "SIGALRM", "SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def install_package(spec, emit):
    """Install the package, tell how it went, and arrange the same for the children that tests start."""
    try:
        found = install(spec["package"], spec["path"])
    except BaseException as exc:
        emit("install_fail", tb=traceback.format_exc())
        raise SystemExit(3) from exc
    emit("installed", report=found)
    if spec["package"] != "asyncio":
        os.environ[ENV_ALIAS] = json.dumps({"package": spec["package"], "path": spec["path"]})
        patch_script_helper(spec["package"], spec["path"])


def patch_script_helper(package, path):
    """Make ``assert_python_ok("-c", CODE)`` give CODE the package as asyncio too."""
    from test.support import script_helper

    boot = bootstrap_code(package, path)
    original = script_helper.run_python_until_end

    def run_python_until_end(*args, **env_vars):
        args = list(args)
        for i, arg in enumerate(args[:-1]):
            if arg == "-c":
                args[i + 1] = boot + f"exec(compile({args[i + 1]!r}, '<string>', 'exec'))"
                break
        return original(*args, **env_vars)

    script_helper.run_python_until_end = run_python_until_end


def import_tests(name, emit):
    """The test module, or None if it skips itself or cannot be imported (told to the parent)."""
    import unittest

    full = name if "." in name else PREFIX + name
    try:
        return importlib.import_module(full)
    except unittest.SkipTest as exc:
        emit("module_skip", reason=str(exc))
    except BaseException:
        emit("import_fail", tb=traceback.format_exc())
    emit("end", altered=False)
    return None


def flatten(suite):
    """The test cases of a suite of suites, in order."""
    import unittest

    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def defining_functions(tests):
    """Where each test's function is defined: one function often runs in eight classes."""
    keys = {}
    for test in tests:
        method = getattr(test, getattr(test, "_testMethodName", ""), None)
        if callable(method):  # a _FailedTest has none
            func = inspect.unwrap(method)
            if hasattr(func, "__qualname__"):
                keys[short_id(test.id())] = f"{func.__module__}.{func.__qualname__}"
    return keys


def run_module(spec, emit):
    """Run what SPEC asks for of its module."""
    import unittest

    module = import_tests(spec["module"], emit)
    if module is None:
        return
    from results import ReportingResult, ReportingSuite, support

    tests = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    keys = defining_functions(tests)
    if spec.get("match"):
        tests = [t for t in tests if any(fnmatch.fnmatchcase(short_id(t.id()), g) for g in spec["match"])]
    emit("collected", ids=[short_id(t.id()) for t in tests], keys=keys)
    done = set(spec.get("exclude") or ())
    only = spec.get("only")
    todo = [t for t in tests if short_id(t.id()) not in done and (only is None or short_id(t.id()) in only)]

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("default")
        ReportingSuite(todo, emit).run(ReportingResult(emit))
    leaks = []
    if spec["package"] != "asyncio":
        leaks = sorted(
            name
            for name, mod in list(sys.modules.items())
            if (name == "asyncio" or name.startswith("asyncio.")) and is_stock(mod)
        )
    emit("end", altered=bool(support.environment_altered), stock_loaded=leaks)


def main(spec_path):
    with open(spec_path) as f:
        spec = json.load(f)
    emit = open_events(spec["events"])
    faulthandler.enable()
    usual_signals()
    install_package(spec, emit)
    run_module(spec, emit)
    sys.stdout.flush()
    sys.stderr.flush()


if __name__ == "__mp_main__":
    # A multiprocessing descendant of a test process: give it the same asyncio.
    if os.environ.get(ENV_ALIAS) and "asyncio" not in sys.modules:
        _alias = json.loads(os.environ[ENV_ALIAS])
        install(_alias["package"], _alias["path"])
elif __name__ == "__main__":
    # Run as a module of its own would; sys.argv is what tests may see.
    _spec, sys.argv = sys.argv[1], sys.argv[:1]
    main(_spec)
