"""`ferrio ps` and `ferrio pstree`: the tasks of a running program.

What is listed, and how it is shown, is the extension's business; here are the arguments and the errors.
"""

import sys

from .. import _ferrio
from . import fail

USAGE = """\
usage: ferrio {command} [--json] [--timeout SECONDS] [--dir DIRECTORY] PID

{what}

  --json               an array of objects, one task per line
  --timeout SECONDS    how long the program may be silent (10)
  --dir DIRECTORY      where the program's socket is, if FERRIO_MONITOR names a directory for it

A program started with `ferrio run --monitor`, or with FERRIO_MONITOR=1 in its environment, can be asked on every
Python. On Python 3.14 and later any program that runs ferrio can, by a ferrio of the same Python.
"""

WHAT = {
    "ps": "List the tasks of a running program: what each awaits, and where.",
    "pstree": "Show which task awaits which in a running program, and through which functions.",
}


def main(command, argv):
    """Print the listing that *argv* asks for; returns the exit status."""
    json, timeout, directory, pids = False, 10.0, None, []
    words = iter(argv)
    for word in words:
        if word in ("-h", "--help"):
            print(USAGE.format(command=command, what=WHAT[command]), end="")
            return 0
        if word == "--json":
            json = True
        elif word in ("--timeout", "--dir"):
            value = next(words, None)
            if value is None:
                return fail(f"argument expected for {word}")
            if word == "--dir":
                directory = value
            else:
                try:
                    timeout = float(value)
                except ValueError:
                    return fail(f"--timeout takes a number of seconds, not {value!r}")
        elif word.isascii() and word.isdigit():
            pids.append(int(word))
        else:
            return fail(f"{command} takes a process's number, not {word!r}; see ferrio {command} --help")
    if len(pids) != 1:
        return fail(f"{command} takes one process's number; see ferrio {command} --help")
    form = "json" if json else "tree" if command == "pstree" else "table"
    try:
        listing = _ferrio._listing_of(pids[0], form, patience=timeout, directory=directory)
    except (OSError, RuntimeError, ValueError) as exc:
        print(f"ferrio: {exc}", file=sys.stderr)
        return 1
    try:
        sys.stdout.buffer.write(listing)
        sys.stdout.flush()
    except BrokenPipeError:
        # Its reader has seen enough; the interpreter is not to complain of it when it flushes once more.
        sys.stdout = None
    return 0
