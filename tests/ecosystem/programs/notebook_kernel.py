"""A Jupyter kernel started and talked to from a running loop, as servers of notebooks do; IPython's `!` in it."""

import asyncio
import json
import subprocess
import warnings

from jupyter_client.manager import start_new_async_kernel

warnings.simplefilter("ignore")


async def execute(client, code):
    """What running a cell prints, and its status."""
    text = []

    def output(message):
        if message["msg_type"] == "stream":
            text.append(message["content"]["text"])

    reply = await client.execute_interactive(code, output_hook=output, timeout=60)
    return reply["content"]["status"], "".join(text)


async def main():
    said = {}
    manager, client = await start_new_async_kernel(startup_timeout=60, stderr=subprocess.DEVNULL)
    try:
        said["cell"] = await execute(client, "print(6 * 7)")
        said["shell"] = await execute(client, "!echo from the shell")
        said["capture"] = await execute(client, "x = !printf 'a\\nb'\nprint(list(x))")
        said["await"] = await execute(
            client,
            "import asyncio\n"
            "p = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)\n"
            "print(await p.communicate(b'data'))",
        )
        said["error"] = (await execute(client, "1 / 0"))[0]
        said["alive"] = await manager.is_alive()
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    said["gone"] = await manager.is_alive()
    return said


print(json.dumps(asyncio.run(main())))
