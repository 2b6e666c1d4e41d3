"""gevent's monkey patches and a loop in one program."""

from program import PROGRAMS


def test_greenlets_run_while_the_loop_waits(report):
    assert report(PROGRAMS / "gevent_neighbours.py") == {
        "executor": 7,
        "to_thread": 3,
        "addresses": True,
        "turns": True,
        "line": "line\n",
        "idle": [0, 1, 2],
    }
