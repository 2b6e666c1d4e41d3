"""A workshop on redis-py: pipelines, watched transactions, scripts, queues, streams, pub/sub, locks, lost connections.

    redis_workshop.py PORT UNIX_SOCKET [CA]     with TLS at the port, if there is a CA

Prints what came of it as one line of JSON.
"""

import asyncio
import contextlib
import json
import sys

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import LockError, ResponseError, WatchError


def tcp(port: int, **options: object) -> redis.Redis:
    if len(sys.argv) > 3:
        options |= {"ssl": True, "ssl_ca_certs": sys.argv[3]}
    return redis.Redis(host="127.0.0.1", port=port, **options)


async def pipelines(client: redis.Redis) -> dict[str, object]:
    """10,000 commands in pipelines of a thousand, ten of these at once; a command that fails among others."""

    async def thousand(first: int) -> int:
        async with client.pipeline(transaction=False) as pipe:
            for number in range(first, first + 1000):
                pipe.set(f"n{number}", number) if number % 2 else pipe.incrby("total", number)
            return len(await pipe.execute())

    done = sum(await asyncio.gather(*[thousand(1000 * number) for number in range(10)]))
    values = await client.mget([f"n{number}" for number in range(1, 10_000, 2)])
    await client.set("words", "some")
    async with client.pipeline() as pipe:
        answers = await pipe.set("a", 1).incr("words").get("a").execute(raise_on_error=False)
    return {
        "done": done,
        "total": int(await client.get("total")),
        "values": sum(int(value) for value in values),
        "answers": [str(answer) if isinstance(answer, ResponseError) else answer for answer in answers],
    }


async def transactions(client: redis.Redis) -> dict[str, object]:
    """Twenty clients count the same key up with WATCH and MULTI, and again whenever another was first."""
    again = 0
    # All of them have read before the first one writes: at least 19 find that it was changed under them.
    together = asyncio.Barrier(20)

    async def count_up() -> None:
        nonlocal again
        first = True
        async with client.pipeline() as pipe:
            while True:
                await pipe.watch("counter")
                seen = int(await pipe.get("counter") or 0)
                if first:
                    await together.wait()
                    first = False
                pipe.multi()
                pipe.set("counter", seen + 1)
                with contextlib.suppress(WatchError):
                    await pipe.execute()
                    return
                again += 1

    await asyncio.gather(*[count_up() for _ in range(20)])
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    added = await asyncio.gather(*[add(keys=["scripted"], args=[2]) for _ in range(100)])
    return {"counter": int(await client.get("counter")), "again": again >= 19, "scripted": max(added)}


async def queues(client: redis.Redis) -> dict[str, object]:
    """Workers that wait for jobs in BLPOP; consumers of a stream; a wait that ends empty."""

    async def worker() -> list[int]:
        done = []
        while (job := (await client.blpop(["jobs"], timeout=60))[1]) != b"stop":
            done.append(int(job))
        return done

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker()) for _ in range(5)]
        for job in range(500):
            await client.rpush("jobs", job)
        for _ in workers:
            await client.rpush("jobs", "stop")
    done = sorted(job for worker in workers for job in worker.result())

    await client.xgroup_create("events", "readers", mkstream=True)

    async def reader(name: str) -> int:
        read = 0
        while True:
            [(_, entries)] = await client.xreadgroup("readers", name, {"events": ">"}, count=10, block=60_000)
            for entry, fields in entries:
                await client.xack("events", "readers", entry)
                if b"end" in fields:
                    await client.xadd("events", {"end": ""})
                    return read
                read += int(fields[b"n"])

    readers = [asyncio.create_task(reader(f"r{number}")) for number in range(3)]
    for number in range(300):
        await client.xadd("events", {"n": number})
    await client.xadd("events", {"end": ""})
    read = await asyncio.gather(*readers)
    return {
        "jobs": done == list(range(500)),
        "read": sum(read),
        "empty": await client.blpop(["nothing"], timeout=0.05),
    }


async def pub_sub(client: redis.Redis) -> dict[str, object]:
    """Ten subscribers by name and one by pattern hear a thousand messages in their order."""

    async def listen(pubsub: redis.client.PubSub) -> list[bytes]:
        heard = []
        async for message in pubsub.listen():
            if message["type"] in ("message", "pmessage"):
                if message["data"] == b"end":
                    break
                heard.append(message["data"])
        await pubsub.aclose()
        return heard

    subscribers = []
    for _ in range(10):
        subscribers.append(client.pubsub())
        await subscribers[-1].subscribe("news")
    subscribers.append(client.pubsub())
    await subscribers[-1].psubscribe("ne*")
    # A subscription counts once its confirmation has been read.
    for subscriber in subscribers:
        assert (await subscriber.get_message(timeout=60))["type"] in ("subscribe", "psubscribe")
    tasks = [asyncio.create_task(listen(subscriber)) for subscriber in subscribers]
    reached = {await client.publish("news", number) for number in range(1000)}
    await client.publish("news", "end")
    heard = await asyncio.gather(*tasks)
    expected = [b"%d" % number for number in range(1000)]
    return {"reached": sorted(reached), "heard": [each == expected for each in heard].count(True)}


async def locks(client: redis.Redis) -> dict[str, object]:
    """A lock among ten clients keeps what is between its ends together; one that ran out says so."""
    inside = 0
    most = 0

    async def work() -> None:
        nonlocal inside, most
        async with client.lock("door", timeout=60, sleep=0.001):
            inside += 1
            most = max(most, inside)
            await client.incr("visits")
            inside -= 1

    await asyncio.gather(*[work() for _ in range(10)])
    lock = client.lock("short", timeout=60)
    await lock.acquire()
    await client.delete("short")
    try:
        await lock.release()
        late = "none"
    except LockError as error:
        late = type(error).__name__
    return {"most": most, "visits": int(await client.get("visits")), "late": late}


async def losses(port: int) -> dict[str, object]:
    """A large value; a task cancelled while it waits; connections that the server cuts."""
    seen: dict[str, object] = {}
    once = Retry(NoBackoff(), 0)
    async with tcp(port, retry=once) as client, tcp(port) as other:
        large = bytes(range(256)) * 40_000
        await client.set("large", large)
        seen["ten megabytes"] = await client.get("large") == large

        async def blocked() -> None:
            async with asyncio.timeout(60):
                while not (await other.info("clients"))["blocked_clients"]:
                    await asyncio.sleep(0.01)  # only so as not to ask the server all the time

        task = asyncio.create_task(client.blpop(["nothing"], timeout=0))
        await blocked()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # Its connection was given up: an answer that came later must not be somebody else's.
        seen["cancelled"] = task.cancelled()
        seen["after it"] = await client.echo("mine")

        number = await client.client_id()
        task = asyncio.create_task(client.blpop(["nothing"], timeout=0))
        await blocked()
        await other.client_kill_filter(_id=number)
        try:
            await task
            seen["cut"] = "not"
        except Lost:
            seen["cut"] = "lost"
        seen["again"] = await client.echo("mine too")
    return seen


async def main(port: int, path: str) -> None:
    async with tcp(port) as client, redis.Redis(unix_socket_path=path) as local:
        await client.flushall()
        print(
            json.dumps(
                {
                    "pipelines": await pipelines(client),
                    "transactions": await transactions(local),
                    "queues": await queues(client),
                    "pub/sub": await pub_sub(local),
                    "locks": await locks(client),
                    "losses": await losses(port),
                },
                default=bytes.decode,
            )
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
