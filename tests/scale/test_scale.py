"""Many connections, and everything that a network and a kernel can do to them; one process per program.

Nothing is lost, nothing is left over, and no descriptor's number brings one connection what was another's.
"""

import importlib
import pathlib

import implementation
import pytest
import witness

HERE = pathlib.Path(__file__).parent
MODULES = (
    "crowd",
    "resets",
    "resets_streams",
    "half_open",
    "writing",
    "slow_readers",
    "exhaustion",
    "refusals",
    "reuse",
    "reuse_in_flight",
    "reuse_by_hand",
)
for module in MODULES:
    importlib.import_module(module)


@pytest.mark.parametrize("name", witness.PROGRAMS)
def test_holds(name, impl):
    program = witness.PROGRAMS[name]
    if program.beyond and impl == "stock":
        pytest.skip(f"stock {program.beyond}")
    proc = implementation.run(impl, HERE / "witness.py", program.module, name, seconds=100)
    if proc.returncode == 0 and proc.stdout.startswith("cannot: "):
        pytest.skip(proc.stdout.strip())
    assert proc.returncode == 0, f"status {proc.returncode}\n{proc.stdout[-1000:]}{proc.stderr[-4000:]}"
    # What asyncio only logs is a failure too.
    assert not proc.stderr, proc.stderr[-4000:]
