"""`websockets`, server and clients talking to each other in one process, over TCP and over a Unix socket."""

import pytest
from program import PROGRAMS


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_a_room(report, over, tmp_path):
    arguments = [] if over == "tcp" else [tmp_path / "room.sock"]
    assert report(PROGRAMS / "websockets_room.py", *arguments) == {
        "large": True,
        "parts": "in three parts",
        "at once": True,
        "ping": True,
        "closed": [1000, ""],
        "streamed": ["a messa", "ge of s", "ome wor", "ds", ""],
        "flood": True,
        "trouble": 1011,
        "refused": [403, "not for you\n"],
        "left": ["4000 had enough", "1006"],
        "heard by all": 100,
        "ten thousand": 10_000,
        "reconnected": ["time 0", "time 1", "time 2"],
        "closing down": 1001,
    }
