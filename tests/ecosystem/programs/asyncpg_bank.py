"""A bank on asyncpg: transfers in transactions, savepoints, cursors, COPY, notifications, cancelled statements.

    asyncpg_bank.py DSN UNIX_DSN

Prints what came of it as one line of JSON.
"""

import asyncio
import io
import json
import random
import sys

import asyncpg

ACCOUNTS = 50


async def transfers(dsn: str) -> dict[str, object]:
    """500 transfers at once over ten connections; some are refused and rolled back, none may lose or make money."""
    refused = 0

    async def transfer(pool: asyncpg.Pool, number: int, source: int, target: int, amount: int) -> None:
        nonlocal refused
        async with pool.acquire() as connection:
            try:
                async with connection.transaction():
                    # Both rows in the order of their numbers: two transfers in opposite directions would deadlock.
                    await connection.fetch(
                        "SELECT id FROM account WHERE id = ANY($1) ORDER BY id FOR UPDATE", [source, target]
                    )
                    await connection.execute(
                        "UPDATE account SET balance = balance + $1 WHERE id = $2", amount, target
                    )
                    await connection.execute(
                        "UPDATE account SET balance = balance - $1 WHERE id = $2", amount, source
                    )
                    await connection.execute(
                        "INSERT INTO journal VALUES ($1, $2, $3, $4)", number, source, target, amount
                    )
            except asyncpg.CheckViolationError:
                refused += 1

    chance = random.Random(4)
    async with asyncpg.create_pool(dsn, min_size=10, max_size=10) as pool:
        await pool.executemany(
            "INSERT INTO account VALUES ($1, 100)", [(number,) for number in range(ACCOUNTS)]
        )
        async with asyncio.TaskGroup() as group:
            for number in range(500):
                source, target = chance.sample(range(ACCOUNTS), 2)
                group.create_task(transfer(pool, number, source, target, chance.choice([1, 10, 30, 1000])))
        done = await pool.fetchval("SELECT count(*) FROM journal")
        balance = await pool.fetchval("SELECT sum(balance) FROM account")
        # What the journal says has to be what the accounts hold.
        wrong = await pool.fetchval(
            """SELECT count(*) FROM account WHERE balance <> 100
                + coalesce((SELECT sum(amount) FROM journal WHERE target = id), 0)
                - coalesce((SELECT sum(amount) FROM journal WHERE source = id), 0)"""
        )
    return {"every transfer": done + refused, "refused": refused > 0, "balance": balance, "wrong": wrong}


async def statements(connection: asyncpg.Connection) -> dict[str, object]:
    """Prepared statements, savepoints, cursors, values of many types."""
    square = await connection.prepare("SELECT $1::bigint * $1")
    squares = [await square.fetchval(number) for number in range(1000)]
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO note VALUES (1, 'kept')")
            try:
                async with connection.transaction():
                    await connection.execute("INSERT INTO note VALUES (2, 'rolled back')")
                    await connection.execute("INSERT INTO note VALUES (1, 'not unique')")
            except asyncpg.UniqueViolationError as error:
                code = error.sqlstate
            await connection.execute("INSERT INTO note VALUES (3, 'kept too')")
        async with connection.transaction():
            await connection.execute("DELETE FROM note")
            raise LookupError
    except LookupError:
        notes = [tuple(row) for row in await connection.fetch("SELECT * FROM note ORDER BY id")]
    total = 0
    async with connection.transaction():
        async for row in connection.cursor("SELECT generate_series(1, 20000) AS n", prefetch=500):
            total += row["n"]
    row = await connection.fetchrow(
        "SELECT 1.5::float8 AS half, '{a,b}'::text[] AS list, now() = now() AS truth, NULL AS nothing, 'ü' AS text"
    )
    large = bytes(range(256)) * 40_000
    same = await connection.fetchval("SELECT $1::bytea", large) == large
    return {
        "squares": sum(squares),
        "code": code,
        "notes": notes,
        "cursor": total,
        "row": dict(row),
        "ten megabytes": same,
    }


async def copy(connection: asyncpg.Connection) -> dict[str, object]:
    """COPY, in both directions, with coroutines at both ends."""
    records = [(number, f"line {number}") for number in range(20_000)]
    await connection.copy_records_to_table("line", records=records)
    received = io.BytesIO()

    async def receive(data: bytes) -> None:
        await asyncio.sleep(0)
        received.write(data)

    await connection.copy_from_query("SELECT * FROM line ORDER BY id", output=receive)

    async def lines():
        for line in received.getvalue().splitlines(keepends=True):
            yield line

    await connection.copy_to_table("line_again", source=lines())
    differ = await connection.fetchval(
        "SELECT count(*) FROM line FULL JOIN line_again USING (id, words) "
        "WHERE line.ctid IS NULL OR line_again.ctid IS NULL"
    )
    return {"copied": received.getvalue().count(b"\n"), "differ": differ}


async def notifications(dsn: str) -> list[str]:
    """LISTEN on one connection, NOTIFY on another; only committed ones come."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener, speaker = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    await listener.add_listener(
        "news", lambda _connection, _pid, _channel, payload: heard.put_nowait(payload)
    )
    for number in range(3):
        await speaker.execute(f"NOTIFY news, '{number}'")
    transaction = speaker.transaction()
    await transaction.start()
    await speaker.execute("NOTIFY news, 'never'")
    await transaction.rollback()
    await speaker.execute("SELECT pg_notify('news', 'last')")
    async with asyncio.timeout(60):
        got = [await heard.get() for _ in range(4)]
    await listener.close()
    await speaker.close()
    return got


async def interruptions(dsn: str) -> dict[str, object]:
    """A statement that is cancelled, one that times out, a session that the server ends: what remains can be used."""
    seen: dict[str, object] = {}
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
        async with pool.acquire() as connection:
            try:
                await connection.execute("SELECT pg_sleep(600)", timeout=0.05)
            except TimeoutError:
                seen["after a time-out"] = await connection.fetchval("SELECT 1")
            pid = connection.get_server_pid()
            task = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
            asked = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
            async with asyncio.timeout(60):
                while not await pool.fetchval(asked, pid):
                    await asyncio.sleep(0.01)  # only so as not to ask the server all the time
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                seen["after a cancellation"] = await connection.fetchval("SELECT 2")
            seen["still asleep"] = await pool.fetchval(asked, pid)
        doomed = await asyncpg.connect(dsn)
        task = asyncio.create_task(doomed.execute("SELECT pg_sleep(600)"))
        async with asyncio.timeout(60):
            while not await pool.fetchval(asked, doomed.get_server_pid()):
                await asyncio.sleep(0.01)  # as above
        await pool.execute("SELECT pg_terminate_backend($1)", doomed.get_server_pid())
        try:
            await task
        except asyncpg.PostgresError as error:
            # What the server says last, or that the connection is gone: asyncpg has it either way.
            seen["ended by the server"] = error.sqlstate in ("57P01", "08003")
        await doomed.close(timeout=60)
        seen["closed"] = doomed.is_closed()
        seen["the pool"] = await pool.fetchval("SELECT 3")
    return seen


async def many(dsn: str) -> int:
    """10,000 queries over eight connections."""
    async with asyncpg.create_pool(dsn, min_size=8, max_size=8) as pool:

        async def client(first: int) -> int:
            async with pool.acquire() as connection:
                return sum([await connection.fetchval("SELECT $1::int", first + n) for n in range(1250)])

        return sum(await asyncio.gather(*[client(1250 * number) for number in range(8)]))


async def main(dsn: str, unix_dsn: str) -> None:
    connection = await asyncpg.connect(unix_dsn)
    await connection.execute(
        """
        DROP SCHEMA IF EXISTS bank CASCADE;
        CREATE SCHEMA bank;
        ALTER ROLE ferrio SET search_path TO bank;
        SET search_path TO bank;
        CREATE TABLE account (id int PRIMARY KEY, balance int CHECK (balance >= 0));
        CREATE TABLE journal (number int PRIMARY KEY, source int, target int, amount int);
        CREATE TABLE note (id int PRIMARY KEY, words text);
        CREATE TABLE line (id int, words text);
        CREATE TABLE line_again (id int, words text);
        """
    )
    print(
        json.dumps(
            {
                "transfers": await transfers(dsn),
                "statements": await statements(connection),
                "copy": await copy(connection),
                "notifications": await notifications(dsn),
                "interruptions": await interruptions(unix_dsn),
                "many": await many(dsn),
            }
        )
    )
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
