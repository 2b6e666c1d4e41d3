"""A small ASGI application without a framework, for any ASGI server.

    pip install uvicorn httptools
    ferrio run -m uvicorn --app-dir examples asgi_app:app --loop asyncio
    curl http://127.0.0.1:8000/

`--loop asyncio` keeps uvicorn from choosing uvloop where that is installed: with ferrio in asyncio's place,
asyncio's loop is ferrio's.

| path           | answer                                                             |
|----------------|--------------------------------------------------------------------|
| `/`            | a greeting                                                         |
| `/loop`        | JSON: the package that `asyncio` is here, and the loop's class     |
| `/echo`        | the body of the request, sent on chunk by chunk as it comes in     |
| `/lines?n=N`   | N lines (default 10), each sent on its own                         |
| `/lifespan`    | JSON: what the application noted when the server started           |
| `/trouble`     | an exception, which the server has to turn into a 500              |
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The application: one call per request, and one for the server's life."""
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await ROUTES.get(scope["path"], not_found)(scope, receive, send)
    else:
        raise ValueError(f"no {scope['type']} here")


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Note that the server has started; wait until it stops."""
    await receive()
    scope["state"]["started_at"] = asyncio.get_running_loop().time()
    print("application started", flush=True)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("application stopped", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def greet(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, 200, "text/plain", b"Hello from asyncio\n")


async def loop(scope: Scope, receive: Receive, send: Send) -> None:
    kind = type(asyncio.get_running_loop())
    await answer_json(send, {"asyncio": asyncio.__name__, "loop": f"{kind.__module__}.{kind.__qualname__}"})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, "application/octet-stream")
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


async def lines(scope: Scope, receive: Receive, send: Send) -> None:
    wanted = int(parse_qs(scope["query_string"].decode()).get("n", ["10"])[0])
    await start(send, 200, "text/plain")
    for number in range(wanted):
        await send({"type": "http.response.body", "body": f"line {number}\n".encode(), "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def noted(scope: Scope, receive: Receive, send: Send) -> None:
    await answer_json(send, {"started_at": scope["state"]["started_at"]})


async def trouble(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("trouble, as asked for")


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, 404, "text/plain", f"nothing at {scope['path']}\n".encode())


async def start(send: Send, status: int, kind: str, *headers: tuple[bytes, bytes]) -> None:
    """Begin an answer: its status and content type."""
    all_headers = [(b"content-type", kind.encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})


async def answer(send: Send, status: int, kind: str, body: bytes) -> None:
    """A whole answer at once."""
    await start(send, status, kind, (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, value: object) -> None:
    """A whole answer at once, in JSON."""
    await answer(send, 200, "application/json", json.dumps(value).encode() + b"\n")


ROUTES: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    "/": greet,
    "/loop": loop,
    "/echo": echo,
    "/lines": lines,
    "/lifespan": noted,
    "/trouble": trouble,
}
