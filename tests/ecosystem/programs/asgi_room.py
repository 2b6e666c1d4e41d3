"""An ASGI application with bodies that stream in both directions and a WebSocket, for any ASGI server.

| path                | answer                                                      |
|---------------------|-------------------------------------------------------------|
| `/`                 | a greeting                                                  |
| `/asyncio`          | the package that `asyncio` is here                          |
| `/echo`             | the request's body, sent on part by part as it comes in     |
| `/back`             | the request's body, once all of it is here                  |
| `/digest`           | SHA-256 and length of the request's body                    |
| `/bytes?n=N`        | N bytes 0, 1, … 255, 0, … in parts of 10,000                |
| `/wait`             | nothing; prints `waiting`, and `left` when the client went  |
| `/slow`             | prints `slow`, and answers once somebody asks for `/go`     |
| WebSocket `/`       | every message comes back; on `bye` it is closed with 4000   |
| WebSocket `/no`     | refused                                                     |
"""

import asyncio
import hashlib
import json
from urllib.parse import parse_qs

NUMBERS = bytes(range(256)) * 50
going = None


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("application stopped", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await converse(scope, receive, send)
    else:
        await answer(scope, receive, send)


async def converse(scope, receive, send):
    await receive()
    if scope["path"] == "/no":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4000, "reason": "bye"})
            return
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})
    print(f"left with {message['code']}", flush=True)


async def answer(scope, receive, send):
    global going
    if going is None:
        going = asyncio.Event()

    async def start(*headers):
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def part(data, more=False):
        await send({"type": "http.response.body", "body": data, "more_body": more})

    async def body():
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            yield message.get("body", b"")

    match scope["path"]:
        case "/":
            await start((b"content-length", b"6"))
            await part(b"hello\n")
        case "/asyncio":
            await start()
            await part(asyncio.__name__.encode())
        case "/echo":
            await start()
            async for data in body():
                await part(data, more=True)
            await part(b"")
        case "/back":
            parts = [data async for data in body()]
            await start()
            for data in parts:
                await part(data, more=True)
            await part(b"")
        case "/digest":
            digest, length = hashlib.sha256(), 0
            async for data in body():
                digest.update(data)
                length += len(data)
            await start((b"content-type", b"application/json"))
            await part(json.dumps([digest.hexdigest(), length]).encode())
        case "/bytes":
            left = int(parse_qs(scope["query_string"])[b"n"][0])
            await start((b"content-length", b"%d" % left))
            while left:
                size = min(left, 10_240)
                left -= size
                await part(NUMBERS[:size], more=left > 0)
        case "/wait":
            async for _ in body():
                pass
            print("waiting", flush=True)
            while (await receive())["type"] != "http.disconnect":
                pass
            print("left", flush=True)
        case "/slow":
            print("slow", flush=True)
            await going.wait()
            await start((b"content-length", b"4"))
            await part(b"done")
        case "/go":
            going.set()
            await start((b"content-length", b"2"))
            await part(b"ok")
