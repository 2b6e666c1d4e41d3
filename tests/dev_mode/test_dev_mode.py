"""Under interpreters that look more closely, nothing is said: warnings, corrupted memory, references to the dead.

On a debug build of ferrio (``make develop``) the same programs run with its own checks: reference counts above zero,
types where types are taken for granted, the GIL held where references come and go.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMOKE = Path(__file__).parent / "smoke.py"

WAYS = {
    "plain": ([], {}),
    "development mode": (["-X", "dev"], {}),
    "warnings are errors": (["-W", "error"], {}),
    "checked memory": ([], {"PYTHONMALLOC": "debug"}),
    "checked memory, malloc": ([], {"PYTHONMALLOC": "malloc_debug"}),
    "asyncio's debug mode": ([], {"PYTHONASYNCIODEBUG": "1"}),
    "traced memory": (["-X", "tracemalloc=5"], {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_said(way):
    options, environment = WAYS[way]
    proc = subprocess.run(
        [sys.executable, "-X", "faulthandler", *options, str(SMOKE)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert (proc.returncode, proc.stdout, proc.stderr) == (0, "ok\n", "")
