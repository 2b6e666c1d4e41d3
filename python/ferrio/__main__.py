"""`python -m ferrio`: the REPL; with a subcommand, the command line tool."""

import sys

if __name__ == "__main__":
    if len(sys.argv) > 1:
        from ferrio.cli import main
    else:
        from ferrio.cli.repl import main
    sys.exit(main())
