"""Run the scenarios of one program and write their trace: ``play.py PROGRAM TRACE [DONE,DONE...]``.

Log records, warnings, unraisable exceptions and exceptions of threads are part of the trace, in their place among the
program's own events.  Names in DONE are left out: the harness goes on after a scenario that hung or crashed.
"""

import faulthandler
import gc
import importlib.util
import logging
import os
import re
import sys
import threading
import warnings

import observe

SCENARIO_SECONDS = 15

# Which way the loop waits is the implementation's own affair.
_IGNORED_LOGS = re.compile(r"Using selector|poll [\d.]+ ms took|.*\bnew pid file|event loop")
_FRAME = re.compile(r'\n  File "(?P<path>[^"]+)", line \d+, in [^\n]+(?P<source>(?:\n    [^\n]*)*)')


class TraceHandler(logging.Handler):
    """Writes records of the logger "asyncio" into the trace."""

    def emit(self, record):
        message = record.getMessage()
        if _IGNORED_LOGS.match(message):
            return
        message = _FRAME.sub("", message)
        exc = record.exc_info and record.exc_info[1]
        observe.write("log", record.levelname, observe.normal(message), observe.plain(exc or None))


def show_warning(message, category, filename, lineno, file=None, line=None):
    observe.write("warning", category.__name__, observe.normal(_FRAME.sub(program_frame, str(message))))


def program_frame(match):
    """A frame of a stack that a warning names, if it is the program's: below it stock has frames of its own."""
    return match[0] if os.path.dirname(match["path"]) == observe.PROGRAMS else ""


def unraisable(args):
    observe.write("unraisable", observe.plain(args.exc_value), observe.normal(args.err_msg or ""))


def thread_exception(args):
    observe.write("thread", observe.plain(args.exc_value))


def capture():
    logger = logging.getLogger("asyncio")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(TraceHandler())
    warnings.simplefilter("always")
    warnings.showwarning = show_warning
    sys.unraisablehook = unraisable
    threading.excepthook = thread_exception


def load(path):
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location("program_" + name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def main(program, trace, done=""):
    observe.open_trace(trace)
    capture()
    load(program)
    for function in observe.SCENARIOS:
        if function.__name__ in done.split(","):
            continue
        observe.write("scenario", function.__name__)
        faulthandler.dump_traceback_later(SCENARIO_SECONDS, exit=True)
        observe.run(function)
        # What only a collection brings to light belongs to this scenario.
        gc.collect()
        gc.collect()
        faulthandler.cancel_dump_traceback_later()
        observe.write("end")


if __name__ == "__main__":
    main(*sys.argv[1:])
