"""Runs programs that use what of asyncio is built, so that an instrumented build records what they do: `make profile`.

    python -m ferrio run -m pgo.train [NAME ...]

They are not those of `bench/`: what is measured there should not be what the build was made for.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pgo.clients import CLIENTS
from pgo.tasks import PROGRAMS

PATIENCE = 120
"""Seconds that a server may take to write its record and end."""


@contextmanager
def server(name: str) -> Iterator[int]:
    """Such a server in a process of its own, and its port. It ends in order, or nothing of it would be recorded."""
    command = [sys.executable, "-m", "ferrio", "run", "-m", "pgo.servers", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            yield int(process.stdout.readline())
            process.stdin.close()
            process.wait(PATIENCE)
        finally:
            process.kill()
    if process.returncode:
        raise SystemExit(f"the server {name} ended with {process.returncode}")


def main(names: list[str]) -> None:
    for program in PROGRAMS:
        if not names or program.__name__ in names:
            print(program.__name__, flush=True)
            asyncio.run(program())
    for name, clients in CLIENTS:
        if not names or name in names:
            print(name, flush=True)
            with server(name) as port:
                for client in clients:
                    asyncio.run(client(port))


if __name__ == "__main__":
    main(sys.argv[1:])
