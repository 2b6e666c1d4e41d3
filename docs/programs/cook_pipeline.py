"""Programs connected by a pipe, as a shell does it: `seq 5 | sort -r`, with the result read here."""

import asyncio
import os
from asyncio.subprocess import PIPE


async def main():
    read_end, write_end = os.pipe()
    try:
        first = await asyncio.create_subprocess_exec("seq", "5", stdout=write_end)
        second = await asyncio.create_subprocess_exec("sort", "-r", stdin=read_end, stdout=PIPE)
    finally:
        # The children have theirs. An end that stays open here would keep the pipe open for ever.
        os.close(read_end)
        os.close(write_end)
    async for line in second.stdout:
        print(line.decode().rstrip())
    print("exit status", await first.wait(), await second.wait())


asyncio.run(main())
