"""A client on httpx for `asgi_room.py`, wherever it is served.

    httpx_client.py URL              HTTP/1.1
    httpx_client.py URL --http2      HTTP/2, which the server has to know that it will be spoken
    httpx_client.py URL --by-proxy   HTTP/1.1, past one that cannot pass on an answer before it has the whole request

Bodies that stream in both directions, a pool with a limit, time-outs, a response that is not read to its end, 1,000
requests. Prints what came of it as one line of JSON.
"""

import asyncio
import hashlib
import json
import ssl
import sys

import httpx

NUMBERS = bytes(range(256)) * 50
MEGABYTES = 8


async def upload(megabytes: int = MEGABYTES):
    for _ in range(megabytes * 100):
        yield NUMBERS[:10_240]
        await asyncio.sleep(0)


async def main(url: str, http2: bool, by_proxy: bool) -> None:
    seen: dict[str, object] = {}
    limits = httpx.Limits(max_connections=10, max_keepalive_connections=5)
    async with httpx.AsyncClient(
        base_url=url,
        http1=not http2,
        http2=http2,
        limits=limits,
        timeout=60,
        trust_env=False,
        verify=ssl.create_default_context(),
    ) as client:
        response = await client.get("/")
        seen["greeting"] = [response.http_version, response.status_code, response.text]

        async def greetings() -> int:
            return sum([(await client.get("/")).text == "hello\n" for _ in range(50)])

        # Twice as many as there may be connections. (httpx's pool looks at all that wait, for each that comes.)
        seen["greetings"] = sum(await asyncio.gather(*[greetings() for _ in range(20)]))

        expected = hashlib.sha256()
        async for part in upload():
            expected.update(part)
        digest, length = (await client.post("/digest", content=upload())).json()
        seen["upload"] = [digest == expected.hexdigest(), length]
        received = hashlib.sha256()
        async with client.stream("GET", "/bytes", params={"n": length}) as response:
            async for part in response.aiter_raw():
                received.update(part)
        seen["download"] = received.hexdigest() == expected.hexdigest()
        # The answer to `/echo` comes while the request is being sent, and with HTTP/1.1 httpx reads nothing before all
        # of that is gone: so no more than the sockets hold.
        megabytes = MEGABYTES if http2 or by_proxy else 1
        sent, received = hashlib.sha256(), hashlib.sha256()
        async for part in upload(megabytes):
            sent.update(part)
        path = "/back" if by_proxy else "/echo"
        async with client.stream("POST", path, content=upload(megabytes)) as response:
            async for part in response.aiter_raw():
                received.update(part)
        seen["echo"] = received.hexdigest() == sent.hexdigest()

        async with client.stream("GET", "/bytes", params={"n": length}) as response:
            async for part in response.aiter_raw():
                seen["begun"] = part[:3] == NUMBERS[:3]
                break
        seen["after it"] = (await client.get("/")).text

        try:
            await client.get("/wait", timeout=0.2)
        except httpx.ReadTimeout as error:
            seen["time-out"] = type(error).__name__
        task = asyncio.create_task(client.get("/wait"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        seen["cancelled"] = task.cancelled()
        seen["after that"] = (await client.get("/")).text
    try:
        await client.get("/")
    except RuntimeError:
        seen["closed"] = True
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], "--http2" in sys.argv, "--by-proxy" in sys.argv))
