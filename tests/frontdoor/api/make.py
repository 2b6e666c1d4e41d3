"""Writes `asyncio-3.NN.json` beside this: what the asyncio of the Python that runs it has, and takes.

    python tests/frontdoor/api/make.py

"names" is what `public_names.py` prints, "callables" what `callables.py describe` prints.  The files let every Python
be compared with the newest asyncio, and say for which release of each Python they were made.
"""

import json
import platform
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import implementation  # noqa: E402 - found by the path above


def printed(program, *args):
    """What a program of this folder prints on stock asyncio."""
    ended = implementation.run(implementation.STOCK, HERE.parent / program, *args, seconds=120)
    if ended.returncode != 0:
        raise SystemExit(ended.stderr)
    return json.loads(ended.stdout)


def api():
    """All of it."""
    return {
        "python": platform.python_version(),
        "names": printed("public_names.py"),
        "callables": printed("callables.py", "describe"),
    }


def path_of(version):
    """The file for a Python, (3, NN)."""
    return HERE / f"asyncio-{version[0]}.{version[1]}.json"


def text_of(found):
    """JSON with a line for each name."""
    parts = []
    for part in ("names", "callables"):
        lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in found[part].items())
        parts.append(f' "{part}": {{\n' + ",\n".join(lines) + "\n }")
    return f'{{\n "python": {json.dumps(found["python"])},\n' + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    path_of(sys.version_info[:2]).write_text(text_of(api()))
