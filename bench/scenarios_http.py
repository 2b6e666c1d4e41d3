"""HTTP servers as they are used, under wrk: what of a whole request is the loop's.

Every request is parsed, handed to an application and answered, by Python code that is the same on every
implementation; so the ratios here are what a user of such a server gains. An answer is small, and comes in the pieces
in which these servers write it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from bench.scenario import server

HOST = "127.0.0.1"
BACKLOG = 1024
BODY = b"Hello, world!"

Message = MutableMapping[str, Any]


@dataclass
class Running:
    """A server that serves: what `bench.server` asks of one."""

    sockets: list[socket.socket]
    close: Callable[[], None]


def _listening() -> socket.socket:
    return socket.create_server((HOST, 0), backlog=BACKLOG)


async def _application(scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


@server(load="http", connections=(64,))
async def uvicorn_httptools() -> Running:
    """uvicorn with httptools and an ASGI application without a framework."""
    import uvicorn

    listening = _listening()
    config = uvicorn.Config(
        _application, http="httptools", lifespan="off", access_log=False, log_level="warning", backlog=BACKLOG
    )
    started = asyncio.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    serving = Server(config)
    task = asyncio.create_task(serving.serve(sockets=[listening]))

    def close() -> None:
        serving.should_exit = True
        task.add_done_callback(lambda ended: ended.exception())

    await started.wait()
    return Running([listening], close)


@server(load="http", connections=(64,))
async def aiohttp() -> Running:
    """aiohttp's server with one route."""
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="text/plain")

    application = web.Application()
    application.router.add_get("/", hello)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    listening = _listening()
    await web.SockSite(runner, listening, backlog=BACKLOG).start()
    return Running([listening], lambda: None)
