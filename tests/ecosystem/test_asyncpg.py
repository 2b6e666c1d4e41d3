"""asyncpg against PostgreSQL: `programs/asyncpg_bank.py`, over TCP and over a Unix socket."""

from program import PROGRAMS


def test_a_bank(report, postgresql):
    assert report(PROGRAMS / "asyncpg_bank.py", postgresql.dsn, postgresql.unix_dsn) == {
        "transfers": {"every transfer": 500, "refused": True, "balance": 5000, "wrong": 0},
        "statements": {
            "squares": sum(number * number for number in range(1000)),
            "code": "23505",
            "notes": [[1, "kept"], [3, "kept too"]],
            "cursor": sum(range(20_001)),
            "row": {"half": 1.5, "list": ["a", "b"], "truth": True, "nothing": None, "text": "ü"},
            "ten megabytes": True,
        },
        "copy": {"copied": 20_000, "differ": 0},
        "notifications": ["0", "1", "2", "last"],
        "interruptions": {
            "after a time-out": 1,
            "after a cancellation": 2,
            "still asleep": 0,
            "ended by the server": True,
            "closed": True,
            "the pool": 3,
        },
        "many": sum(range(10_000)),
    }
