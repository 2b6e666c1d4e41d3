"""Ctrl-C while a child is about: asyncio.run() ends as documented, and nothing is left of the child.

interrupted.py WHEN DIRECTORY: `begin` (the program does not begin), `communicate`, `step` (Python code between awaits).
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from held import held_program

when, directory = sys.argv[1:]
seen = []


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


async def main(path):
    loop = asyncio.get_running_loop()
    loop.call_soon(seen.append, "callback")
    try:
        if when == "begin":
            loop.call_later(0.05, interrupt)
        proc = await asyncio.create_subprocess_exec(path, stdin=-1, stdout=-1)
        try:
            if when == "communicate":
                proc.send_signal(signal.SIGSTOP)
                loop.call_soon(interrupt)
                await proc.communicate(b"x" * 10_000_000)
            if when == "step":
                threading.Thread(target=interrupt).start()
                while not asyncio.current_task().cancelling():
                    pass
            await proc.wait()
        finally:
            seen.append("finally")
            with contextlib.suppress(ProcessLookupError):
                proc.kill()
            await proc.wait()
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
    finally:
        loop.call_soon(seen.append, "after")
        await asyncio.sleep(0)


with contextlib.ExitStack() as stack:
    path = "cat"
    if when == "begin":
        path, _ = stack.enter_context(held_program(directory))
    try:
        asyncio.run(main(path))
    except KeyboardInterrupt:
        seen.append("interrupted")
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print(seen)
