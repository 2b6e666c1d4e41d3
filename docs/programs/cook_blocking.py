"""Debug mode names the callback that has kept the loop waiting."""

import asyncio
import logging
import time

logging.basicConfig(format="%(message)s")


async def rude():
    time.sleep(0.2)  # blocks: nothing else runs meanwhile


async def main():
    asyncio.get_running_loop().slow_callback_duration = 0.1  # seconds
    await asyncio.create_task(rude(), name="rude")


asyncio.run(main(), debug=True)
