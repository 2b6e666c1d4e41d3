"""A million of anything made and dropped leaves nothing behind.

``FERRIO_LEAK_SCALE`` is the share of a million (of 20,000 for connections); 1 is the acceptance run.  The bounds do
not grow with it: growth is looked for between the end of the warm-up and the end of the last round, and a leak of one
object per operation breaks them at the default scale already.
"""

import json
import os
import pathlib
import subprocess

import implementation
import pytest

from shapes import NETWORK, SHAPES

HERE = pathlib.Path(__file__).parent
SCALE = float(os.environ.get("FERRIO_LEAK_SCALE", "0.05"))
MILLION, CONNECTIONS = 1_000_000, 20_000

# What one process may gain whatever the count: interned strings, dict resizes, arenas that are only partly free.
MAX_OBJECTS = 60
MAX_BLOCKS = 250
MAX_RSS_KIB = 2048

SECONDS = 120 + 1200 * SCALE


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_leaves_nothing(name, impl):
    count = int((CONNECTIONS if name in NETWORK else MILLION) * SCALE)
    proc = subprocess.run(
        implementation.command(impl, HERE / "measure.py", name, count),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert proc.returncode == 0, proc.stderr[-3000:]
    rounds = [json.loads(line) for line in proc.stdout.splitlines()]
    first, last = rounds[0], rounds[-1]
    # The peak of a round leaves the allocator's arenas more or less empty, which comes and goes; a leak only comes.
    rss = min(r["rss"] for r in rounds[-2:]) - max(r["rss"] for r in rounds[:2])
    grown = {
        kind: (first["types"].get(kind, 0), n)
        for kind, n in last["types"].items()
        if n > first["types"].get(kind, 0) + 10
    }
    history = "\n".join(f"  {r['objects']:8} objects {r['blocks']:9} blocks {r['rss']:8} KiB" for r in rounds)
    told = f"{name}, {count} made:\n{history}\n  types that grew: {grown}\n{proc.stderr[-1000:]}"
    assert last["objects"] - first["objects"] <= MAX_OBJECTS, told
    assert last["blocks"] - first["blocks"] <= MAX_BLOCKS, told
    assert rss <= MAX_RSS_KIB, told
