"""A ledger on psycopg: pipelines, transactions, server-side cursors, COPY, notifications, a pool, cancellation.

    psycopg_ledger.py DSN UNIX_DSN

psycopg waits with the loop's `add_reader` and `add_writer` on libpq's socket. Prints what came of it as one line of
JSON.
"""

import asyncio
import json
import logging
import sys

import psycopg
from psycopg_pool import AsyncConnectionPool

Connection = psycopg.AsyncConnection[tuple[object, ...]]


async def pipelines(connection: Connection) -> dict[str, object]:
    """10,000 statements in a pipeline, then a pipeline with one that fails: all of that is taken back."""
    async with connection.pipeline():
        cursors = [await connection.execute("SELECT %s::int", [number]) for number in range(10_000)]
    total = sum([(await cursor.fetchone())[0] for cursor in cursors])
    try:
        async with connection.pipeline():
            await connection.execute("INSERT INTO entry VALUES (1, 10)")
            await connection.execute("INSERT INTO entry VALUES (2, 0 / 0)")
            await connection.execute("INSERT INTO entry VALUES (3, 30)")
    except psycopg.Error as error:
        failure = type(error).__name__
    async with connection.pipeline():
        await connection.execute("INSERT INTO entry VALUES (4, 40)")
        left = await connection.execute("SELECT id FROM entry ORDER BY id")
        return {"sum": total, "failure": failure, "left": await left.fetchall()}


async def transactions(connection: Connection) -> list[tuple[object, ...]]:
    """Nested transactions, the inner one rolled back."""
    async with connection.transaction():
        await connection.execute("INSERT INTO entry VALUES (5, 50)")
        async with connection.transaction() as inner:
            await connection.execute("INSERT INTO entry VALUES (6, 60)")
            raise psycopg.Rollback(inner)
    cursor = await connection.execute("SELECT id, amount FROM entry WHERE id > 4 ORDER BY id")
    return await cursor.fetchall()


async def cursors(connection: Connection) -> dict[str, object]:
    """A server-side cursor, `executemany` (a pipeline inside), `stream`, and COPY both ways."""
    async with connection.cursor() as cursor:
        await cursor.executemany("INSERT INTO line VALUES (%s, %s)", [(n, f"line {n}") for n in range(3000)])
        async with cursor.copy("COPY line FROM STDIN") as copy:
            for number in range(3000, 20_000):
                await copy.write_row((number, f"line {number}"))
        copied = 0
        async with cursor.copy("COPY line TO STDOUT") as copy:
            async for data in copy:
                copied += bytes(data).count(b"\n")
        streamed = 0
        async for row in cursor.stream("SELECT id FROM line WHERE id < 5000"):
            streamed += row[0]
    async with connection.transaction(), connection.cursor("on_the_server") as cursor:
        await cursor.execute("SELECT id FROM line ORDER BY id")
        first = await cursor.fetchmany(3)
        rest = sum([row[0] async for row in cursor])
    large = bytes(range(256)) * 40_000
    same = await (await connection.execute("SELECT %s::bytea", [large])).fetchone()
    return {
        "copied": copied, "streamed": streamed, "first": first, "rest": rest,
        "ten megabytes": bytes(same[0]) == large,
    }  # fmt: skip


async def notifications(dsn: str) -> list[str]:
    """Notifications come while nothing else is asked of the connection, and end by a word of theirs."""
    async with (
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as listener,
        await psycopg.AsyncConnection.connect(dsn, autocommit=True) as speaker,
    ):
        await listener.execute("LISTEN news")

        async def listen() -> list[str]:
            heard = []
            async for notification in listener.notifies(timeout=60):
                heard.append(notification.payload)
                if notification.payload == "end":
                    break
            return heard

        task = asyncio.create_task(listen())
        for word in ("one", "two", "end"):
            await speaker.execute("SELECT pg_notify('news', %s)", [word])
        return await task


async def cancellation(dsn: str) -> dict[str, object]:
    """A task cancelled in a statement; a statement cancelled from outside; a session ended by the server."""
    seen: dict[str, object] = {}
    asked = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as watcher:

        async def asleep(connection: Connection) -> None:
            async with asyncio.timeout(60):
                while not (await (await watcher.execute(asked, [connection.info.backend_pid])).fetchone())[0]:
                    await asyncio.sleep(0.01)  # only so as not to ask the server all the time

        connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        task = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
        await asleep(connection)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            seen["after a cancelled task"] = await (await connection.execute("SELECT 1")).fetchone()

        task = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
        await asleep(connection)
        await connection.cancel_safe()
        try:
            await task
        except psycopg.errors.QueryCanceled as error:
            seen["cancelled"] = error.sqlstate
        try:
            async with asyncio.timeout(0.05):
                await connection.execute("SELECT pg_sleep(600)")
        except TimeoutError:
            seen["after a time-out"] = await (await connection.execute("SELECT 2")).fetchone()

        task = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
        await asleep(connection)
        await watcher.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        try:
            await task
        except psycopg.OperationalError as error:
            seen["ended by the server"] = error.sqlstate
        seen["broken"] = connection.broken
        await connection.close()
    return seen


async def pool(dsn: str) -> dict[str, object]:
    """60 clients on a pool of five; more than it has wait in line, and one that waits too long is told so."""
    async with AsyncConnectionPool(dsn, min_size=2, max_size=5, open=False) as connections:
        await connections.wait()

        async def client(number: int) -> int:
            async with connections.connection() as connection:
                await connection.execute("INSERT INTO visit VALUES (%s)", [number])
                return (await (await connection.execute("SELECT max(n) - max(n) + 1 FROM visit")).fetchone())[
                    0
                ]

        visits = sum(await asyncio.gather(*[client(number) for number in range(60)]))
        async with connections.connection() as connection:
            counted = await (await connection.execute("SELECT count(*), sum(n) FROM visit")).fetchone()
        held = [await connections.getconn() for _ in range(5)]
        try:
            await connections.getconn(timeout=0.05)
            late = "none"
        except Exception as error:
            late = type(error).__name__
        for connection in held:
            await connections.putconn(connection)
    return {"visits": visits, "counted": [int(number) for number in counted], "late": late}


async def main(dsn: str, unix_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(unix_dsn, autocommit=True) as connection:
        await connection.execute(
            """
            DROP SCHEMA IF EXISTS ledger CASCADE;
            CREATE SCHEMA ledger;
            ALTER ROLE ferrio SET search_path TO ledger;
            SET search_path TO ledger;
            CREATE TABLE entry (id int PRIMARY KEY, amount int);
            CREATE TABLE line (id int, words text);
            CREATE TABLE visit (n int);
            """
        )
        print(
            json.dumps(
                {
                    "pipelines": await pipelines(connection),
                    "transactions": await transactions(connection),
                    "cursors": await cursors(connection),
                    "notifications": await notifications(unix_dsn),
                    "cancellation": await cancellation(dsn),
                    "pool": await pool(dsn),
                }
            )
        )


if __name__ == "__main__":
    # Whether a failed pipeline has been told of its failure before its end is a matter of timing; if so it warns there.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    asyncio.run(main(*sys.argv[1:]))
