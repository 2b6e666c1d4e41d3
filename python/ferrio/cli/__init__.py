"""The command line tool, `ferrio` or `python -m ferrio`: finds the subcommand and hands over.

Each subcommand is a module of its own here.  The arguments are taken apart by hand: `ferrio run` stands in front of
every program it runs, and must neither load much nor touch what is the program's.
"""

import sys

USAGE = """\
usage: ferrio [--version] [--help] COMMAND ...

commands:
  run SCRIPT [ARGS]      run a program with ferrio as its asyncio
  run -m MODULE [ARGS]   the same for a module
  run -c CODE [ARGS]     the same for code on the command line
  run - [ARGS]           the same for code on standard input
  run --monitor ...      the same, and `ferrio ps` can look into it on every Python
  doctor                 what this installation of ferrio is and has
  doctor -m MODULE       and which event loop that module, a server, would take
  ps PID                 the tasks of a running program, what each awaits, and where
  pstree PID             which of its tasks awaits which

Without a command, `python -m ferrio` is the REPL.
"""

NOT_BUILT = {
    "bench": "benchmarks",
    "top": "watching a running program",
}


def main(argv=None):
    """Run the tool with *argv*, the arguments after the program's name; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    command = argv[0] if argv else "--help"
    if command == "run":
        from .run import main as run

        return run(argv[1:])
    if command == "doctor":
        from .doctor import main as doctor

        return doctor(argv[1:])
    if command in ("ps", "pstree"):
        from .tasks import main as tasks

        return tasks(command, argv[1:])
    if command in ("--version", "-V"):
        from .._version import __version__

        print(f"ferrio {__version__}")
        return 0
    if command in ("--help", "-h", "help"):
        print(USAGE, end="")
        return 0 if argv else 2
    if command in NOT_BUILT:
        return fail(f"{command} is not built yet ({NOT_BUILT[command]})")
    return fail(f"no command {command!r}; see ferrio --help")


def fail(message):
    """Say what is wrong with the command line; returns the exit status for that."""
    print(f"ferrio: {message}", file=sys.stderr)
    return 2
