"""Becomes the user whose number is given, and waits."""

import asyncio
import os
import signal
import sys
import traceback


async def main():
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


runner = asyncio.Runner()
# What a run imports is not readable after that.
runner.get_loop()
assert signal and traceback
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
runner.run(main())
