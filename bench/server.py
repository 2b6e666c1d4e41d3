"""The server process of a scenario under load: `python -m bench.server MODULE SCENARIO IMPLEMENTATION`.

It prints its port and serves until its standard input ends, so that it cannot outlive the run that started
it.
"""

from __future__ import annotations

import os
import sys
import threading

from bench.implementations import become
from bench.scenario import StartServer, load


async def serve(start: StartServer) -> None:
    """Start the scenario's server, print its port, serve until standard input is closed."""
    import asyncio

    loop = asyncio.get_running_loop()
    closed: asyncio.Future[None] = loop.create_future()

    def wait_for_end() -> None:
        # Not sys.stdin: should the server fail, its lock, held here, would be a fatal error at the interpreter's end.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(closed.set_result, None)

    server = await start()
    # A thread that blocks in read() costs the measured loop nothing, and needs no pipe support from it.
    threading.Thread(target=wait_for_end, daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)
    await closed
    server.close()


def main(argv: list[str]) -> None:
    """Become the implementation, then serve."""
    module, name, implementation = argv
    runner = become(implementation)
    start = load(module, name).start
    assert start is not None
    with runner() as running:
        running.run(serve(start))


if __name__ == "__main__":
    main(sys.argv[1:])
