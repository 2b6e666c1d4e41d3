"""redis-py's asynchronous half against Redis: `programs/redis_workshop.py`, over TCP and over a Unix socket."""

from program import PROGRAMS

WORKSHOP = {
    "pipelines": {
        "done": 10_000,
        "total": sum(range(0, 10_000, 2)),
        "values": sum(range(1, 10_000, 2)),
        "answers": [True, "value is not an integer or out of range", "1"],
    },
    "transactions": {"counter": 20, "again": True, "scripted": 200},
    "queues": {"jobs": True, "read": sum(range(300)), "empty": None},
    "pub/sub": {"reached": [11], "heard": 11},
    "locks": {"most": 1, "visits": 10, "late": "LockNotOwnedError"},
    "losses": {
        "ten megabytes": True,
        "cancelled": True,
        "after it": "mine",
        "cut": "lost",
        "again": "mine too",
    },
}


def test_a_workshop(report, redis):
    assert report(PROGRAMS / "redis_workshop.py", redis.port, redis.path) == WORKSHOP
