"""What connections leave behind, and what they take while they are idle. Programs in processes of their own."""

import json
import os
import pathlib

import implementation
import pytest

HERE = pathlib.Path(__file__).parent
SCALE = float(os.environ.get("FERRIO_LEAK_SCALE", "0.05"))
CONNECTS = int(100_000 * SCALE)

# What one process may gain whatever the count; as in tests/gc/test_leaks.py.
BOUNDS = {"objects": 100, "contexts": 0, "blocks": 1000, "rss": 2048, "descriptors": 0}  # rss in KiB


def test_connects_and_closes_leave_nothing(impl):
    proc = implementation.run(impl, HERE / "connects.py", CONNECTS, seconds=120 + CONNECTS / 20)
    assert proc.returncode == 0, proc.stderr[-3000:]
    rounds = [json.loads(line) for line in proc.stdout.splitlines()]
    for what, bound in BOUNDS.items():
        growth = min(r[what] for r in rounds[-2:]) - max(r[what] for r in rounds[:2])
        assert growth <= bound, (
            f"{what} grew by {growth} in {CONNECTS} connections: {rounds}\n{proc.stderr[-1000:]}"
        )


def test_an_idle_connection_holds_no_buffer(impl):
    """Under half of what asyncio's takes: that one keeps 256 KiB to receive into."""
    if impl == implementation.STOCK:
        pytest.skip("stock is what it is compared with")

    def taken(name):
        proc = implementation.run(name, HERE / "idle.py", 300, seconds=120)
        assert proc.returncode == 0, proc.stderr[-3000:]
        return int(proc.stdout)

    ours, stock = taken(impl), taken(implementation.STOCK)
    assert ours < stock / 2, f"{ours} bytes for a connection; asyncio takes {stock}"
