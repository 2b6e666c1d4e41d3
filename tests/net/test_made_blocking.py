"""Descriptors that somebody has made blocking, and closing that waits: the process goes on.

Each kind is a case of `programs/made_blocking.py`.
"""

from pathlib import Path

import implementation
import pytest

PROGRAM = Path(__file__).with_name("programs") / "made_blocking.py"
KINDS = [
    "stream",
    "datagrams",
    "listener",
    "written_pipe",
    "written_terminal",
    "read_pipe",
    "read_terminal",
    "lingering_close",
]


@pytest.mark.parametrize("kind", KINDS)
def test_other_threads_run(impl, kind):
    ended = implementation.run(impl, PROGRAM, kind, seconds=60)
    assert (ended.returncode, ended.stderr) == (0, "")
