"""A million of anything made and dropped leaves nothing behind.

``FERRIO_LEAK_SCALE`` is the share of a million (of 20,000 for connections); 1 is the acceptance run.  The bounds do
not grow with it: growth is looked for between the end of the warm-up and the end of the last round, and a leak of one
object per operation breaks them at the default scale already.
"""

import json
import os
import pathlib

import implementation
import pytest
from connections import CONNECTIONS
from shapes import SHAPES
from waiting import WAITING

HERE = pathlib.Path(__file__).parent
SCALE = float(os.environ.get("FERRIO_LEAK_SCALE", "0.05"))
MILLION, CONNECTED = 1_000_000, 20_000

# What one process may gain whatever the count: interned strings, dict resizes, arenas that are only partly free.
BOUNDS = {"objects": 100, "blocks": 1000, "rss": 2048}  # rss in KiB

SECONDS = 120 + 1200 * SCALE


@pytest.mark.parametrize("name", sorted(SHAPES | CONNECTIONS | WAITING))
def test_leaves_nothing(name, impl):
    count = int((CONNECTED if name in CONNECTIONS else MILLION) * SCALE)
    proc = implementation.run(impl, HERE / "measure.py", name, count, seconds=SECONDS)
    assert proc.returncode == 0, proc.stderr[-3000:]
    rounds = [json.loads(line) for line in proc.stdout.splitlines()]
    first, last = rounds[0], rounds[-1]
    grown = {
        kind: (first["types"].get(kind, 0), n)
        for kind, n in last["types"].items()
        if n > first["types"].get(kind, 0) + 10
    }
    history = "\n".join(f"  {r['objects']:8} objects {r['blocks']:9} blocks {r['rss']:8} KiB" for r in rounds)
    told = f"{name}, {count} made:\n{history}\n  types that grew: {grown}\n{proc.stderr[-1000:]}"
    for what, bound in BOUNDS.items():
        # The peak of a round leaves caches and arenas more or less full, which comes and goes; a leak only comes.
        growth = min(r[what] for r in rounds[-2:]) - max(r[what] for r in rounds[:2])
        assert growth <= bound, f"{what} grew by {growth}; {told}"
