"""What takes no other loop's process down takes none of ours: see the modules for what each program does."""

import importlib
import pathlib

import implementation
import pytest
import survival

HERE = pathlib.Path(__file__).parent
MODULES = ("collector", "destructors", "forks", "interpreters", "recursion", "removals", "setting_up")
for module in MODULES:
    importlib.import_module(module)


@pytest.mark.parametrize("name", survival.PROGRAMS)
def test_survives(name, impl):
    chosen = survival.PROGRAMS[name]
    stock = impl == implementation.STOCK
    if stock and chosen.beyond:
        pytest.skip(f"stock {chosen.beyond}")
    proc = implementation.run(impl, HERE / "survival.py", chosen.module, name, seconds=100)
    assert proc.returncode == 0, f"status {proc.returncode}\n{proc.stdout[-1000:]}{proc.stderr[-4000:]}"
    outcome = chosen.stock if stock and chosen.stock is not None else chosen.outcome
    assert proc.stdout.rstrip("\n").split("\n")[-1] == outcome
    assert not proc.stderr, proc.stderr[-4000:]
