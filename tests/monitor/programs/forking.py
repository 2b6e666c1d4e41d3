"""A program with a loop whose forked child runs one too; both end with their standard input."""

import asyncio
import os
import sys


async def main(says):
    # One write, whether Python buffers or not: both processes have the pipe.
    os.write(1, f"{says} {os.getpid()}\n".encode())
    await asyncio.to_thread(sys.stdin.read)


# The parent's socket is open when it forks.
asyncio.run(asyncio.sleep(0))
started, begins = os.pipe()
pid = os.fork()
if pid == 0:
    # The parent says that it is ready first.
    os.read(started, 1)
    asyncio.run(main("child"))
    sys.exit()
print("ready", flush=True)
os.write(begins, b"x")
asyncio.run(main("parent"))
assert os.waitpid(pid, 0)[1] == 0
