"""IPython's `!` and its background scripts, in a shell that runs on the loop."""

import json

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.autoawait = True
said = {}
shell.run_cell("lines = !echo one; echo two")
said["lines"] = list(shell.user_ns["lines"])
shell.run_cell(
    "import asyncio\n"
    "process = await asyncio.create_subprocess_shell('cat; exit 3', stdin=-1, stdout=-1)\n"
    "output = await process.communicate(b'data')"
)
said["await"] = [shell.user_ns["output"][0].decode(), shell.user_ns["process"].returncode]
result = shell.run_cell("%%script --out captured sh\necho from a script")
said["script"] = [result.success, shell.user_ns["captured"]]
print(json.dumps(said))
