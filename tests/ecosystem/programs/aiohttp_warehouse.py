"""A warehouse of files on aiohttp: its server, and its client.

    aiohttp_warehouse.py serve DIRECTORY [PATH]   serve until SIGTERM, at a port that it prints, or at a Unix socket
    aiohttp_warehouse.py serve DIRECTORY X.pem    the same at a port, with TLS and this certificate
    aiohttp_warehouse.py visit URL [PATH]         ask it everything; prints what came of it as one line of JSON
    aiohttp_warehouse.py visit URL --by-proxy     the same, past one that reads no answer while it sends the body

Bodies that stream in both directions, files (by sendfile) and parts of them, forms with files, WebSockets, server-sent
events, time-outs, clients that leave, 2,000 requests, an end that waits for the clients being served.
"""

import asyncio
import hashlib
import json
import socket
import ssl
import sys
from pathlib import Path

import aiohttp
from aiohttp import web

NUMBERS = bytes(range(256)) * 50
PARTS = 800

directory = web.AppKey("directory", Path)
left = web.AppKey("left", asyncio.Queue)
closing = web.AppKey("closing", asyncio.Event)


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello\n")


async def about(request: web.Request) -> web.Response:
    return web.Response(text=asyncio.__name__)


async def store(request: web.Request) -> web.Response:
    """Write the body to a file as it comes in."""
    digest = hashlib.sha256()
    with (request.app[directory] / request.match_info["name"]).open("wb") as file:
        async for part in request.content.iter_chunked(65_536):
            digest.update(part)
            file.write(part)
        length = file.tell()
    return web.json_response({"sha256": digest.hexdigest(), "length": length})


async def fetch(request: web.Request) -> web.FileResponse:
    return web.FileResponse(request.app[directory] / request.match_info["name"])


async def form(request: web.Request) -> web.Response:
    seen = {}
    async for part in await request.multipart():
        content = await part.read(decode=True)
        seen[part.name] = [part.filename, len(content), hashlib.sha256(content).hexdigest()]
    return web.json_response(seen)


async def echo(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for part in request.content.iter_any():
        await response.write(part)
    await response.write_eof()
    return response


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(200):
        await response.write(f"data: {number}\n\n".encode())
        await asyncio.sleep(0)
    return response


async def wait(request: web.Request) -> web.Response:
    """Answer nothing; note how it ended."""
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        request.app[left].put_nowait("left")
        raise
    return web.Response()


async def who_left(request: web.Request) -> web.Response:
    return web.Response(text=await request.app[left].get())


async def slow(request: web.Request) -> web.Response:
    """Answer only once the server is about to stop."""
    print("slow", flush=True)
    await request.app[closing].wait()
    return web.Response(text="done")


async def talk(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(max_msg_size=0)
    await ws.prepare(request)
    async for message in ws:
        if message.type == aiohttp.WSMsgType.TEXT:
            if message.data == "bye":
                await ws.close(code=4000, message=b"bye")
            else:
                await ws.send_str(message.data)
        elif message.type == aiohttp.WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


def serve(where: str, path: str | None = None) -> None:
    async def application() -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app[directory] = Path(where)
        app[left] = asyncio.Queue()
        app[closing] = asyncio.Event()

        async def note_closing(app: web.Application) -> None:
            print("closing", flush=True)
            app[closing].set()

        async def note_started(app: web.Application) -> None:
            # From here on SIGTERM is what stops the server, and no longer what kills it.
            if sock is not None:
                print("port", sock.getsockname()[1], flush=True)

        app.on_startup.append(note_started)
        app.on_shutdown.append(note_closing)
        app.add_routes(
            [
                web.get("/", hello),
                web.get("/asyncio", about),
                web.put("/file/{name}", store),
                web.get("/file/{name}", fetch),
                web.post("/form", form),
                web.post("/echo", echo),
                web.get("/events", events),
                web.get("/wait", wait),
                web.get("/left", who_left),
                web.get("/slow", slow),
                web.get("/ws", talk),
            ]
        )
        return app

    context = None
    if path and path.endswith(".pem"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        path = None
    sock = None if path else socket.create_server(("127.0.0.1", 0))
    options = {"access_log": None, "handler_cancellation": True, "print": None}
    web.run_app(application(), sock=sock, path=path, ssl_context=context, **options)
    print("stopped", flush=True)


async def upload(parts: int = PARTS):
    for _ in range(parts):
        yield NUMBERS[:10_240]
        await asyncio.sleep(0)


async def visit(url: str, path: str | None = None) -> None:
    by_proxy = path == "--by-proxy"
    seen: dict[str, object] = {}
    expected = hashlib.sha256()
    async for part in upload():
        expected.update(part)
    connector = aiohttp.UnixConnector(path) if path and not by_proxy else aiohttp.TCPConnector(limit=20)
    async with aiohttp.ClientSession(url, connector=connector) as session:

        async def greetings() -> int:
            right = 0
            for _ in range(50):
                async with session.get("/") as response:
                    right += await response.text() == "hello\n"
            return right

        seen["greetings"] = sum(await asyncio.gather(*[greetings() for _ in range(40)]))
        async with session.put("/file/large", data=upload()) as response:
            answer = await response.json()
            seen["stored"] = [answer["sha256"] == expected.hexdigest(), answer["length"]]
        async with session.get("/file/large") as response:
            received = hashlib.sha256()
            async for part in response.content.iter_any():
                received.update(part)
            seen["fetched"] = [received.hexdigest() == expected.hexdigest(), response.content_length]
        async with session.get("/file/large", headers={"Range": "bytes=1000-1009"}) as response:
            seen["part"] = [response.status, list(await response.read())]
        # By a proxy only as much as the sockets hold.
        parts = 10 if by_proxy else PARTS
        async with session.post("/echo", data=upload(parts)) as response:
            received = bytearray()
            async for part in response.content.iter_chunked(1000):
                received += part
            seen["echo"] = received == NUMBERS[:10_240] * parts

        files = aiohttp.FormData()
        files.add_field("words", "grüß dich")
        files.add_field("file", NUMBERS * 100, filename="numbers")
        async with session.post("/form", data=files) as response:
            answer = await response.json()
            seen["form"] = [answer["words"][1], answer["file"][:2]]
            seen["form's file"] = answer["file"][2] == hashlib.sha256(NUMBERS * 100).hexdigest()
        async with session.get("/events") as response:
            lines = [line async for line in response.content if line.strip()]
            seen["events"] = lines == [f"data: {number}\n".encode() for number in range(200)]

        try:
            async with session.get("/wait", timeout=aiohttp.ClientTimeout(sock_read=0.1)):
                seen["time-out"] = "none"
        except aiohttp.SocketTimeoutError:
            seen["time-out"] = "read"
        # The server notices that the client went, and cancels who was serving it.
        async with session.get("/left") as response:
            seen["left"] = await response.text()
        async with session.get("/file/large") as response:
            await response.content.readexactly(1000)
            response.close()
        seen["after it"] = await greetings()

        async def converse(name: int) -> int:
            right = 0
            async with session.ws_connect("/ws", compress=15 if name % 2 else 0) as ws:
                for number in range(500):
                    await ws.send_str(f"{name} {number}")
                    right += await ws.receive_str() == f"{name} {number}"
            return right

        seen["conversations"] = sum(await asyncio.gather(*[converse(name) for name in range(10)]))
        async with session.ws_connect("/ws", max_msg_size=0) as ws:
            await ws.send_bytes(NUMBERS * 100)
            seen["large message"] = await ws.receive_bytes() == NUMBERS * 100
            await ws.ping()
            await ws.send_str("bye")
            message = await ws.receive()
            seen["bye"] = [message.type.name, message.data, message.extra]
    print(json.dumps(seen))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "serve":
        serve(*arguments)
    else:
        asyncio.run(visit(*arguments))
