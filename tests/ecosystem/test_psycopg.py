"""psycopg's asynchronous half against PostgreSQL: `programs/psycopg_ledger.py`, over TCP and over a Unix socket."""

from program import PROGRAMS


def test_a_ledger(report, postgresql):
    assert report(PROGRAMS / "psycopg_ledger.py", postgresql.dsn, postgresql.unix_dsn) == {
        "pipelines": {"sum": sum(range(10_000)), "failure": "DivisionByZero", "left": [[4]]},
        "transactions": [[5, 50]],
        "cursors": {
            "copied": 20_000,
            "streamed": sum(range(5000)),
            "first": [[0], [1], [2]],
            "rest": sum(range(3, 20_000)),
            "ten megabytes": True,
        },
        "notifications": ["one", "two", "end"],
        "cancellation": {
            "after a cancelled task": [1],
            "cancelled": "57014",
            "after a time-out": [2],
            "ended by the server": "57P01",
            "broken": True,
        },
        "pool": {"visits": 60, "counted": [60, sum(range(60))], "late": "PoolTimeout"},
    }
