"""An aiohttp server and an aiohttp client in one process, as a program of somebody who uses both would have them."""

import asyncio
import json

from aiohttp import ClientSession, ClientTimeout, TCPConnector, WSMsgType, web


async def greet(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request.match_info['name']}")


async def sum_up(request: web.Request) -> web.Response:
    numbers = await request.json()
    return web.json_response({"sum": sum(numbers)})


async def count(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(int(request.query["to"])):
        await response.write(f"{number}\n".encode())
    await response.write_eof()
    return response


async def hang(request: web.Request) -> web.Response:
    await asyncio.get_running_loop().create_future()
    return web.Response()


async def shout(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data.upper())
    return socket


async def visit(base: str) -> dict[str, object]:
    """Ask the server everything once, and the greeting 300 times at once; returns the answers."""
    seen: dict[str, object] = {}
    async with ClientSession(base, connector=TCPConnector(limit=20)) as session:

        async def greeting(name: str) -> str:
            async with session.get(f"/hello/{name}") as response:
                return await response.text()

        seen["greeting"] = await greeting("world")
        greetings = await asyncio.gather(*[greeting(f"n{number}") for number in range(300)])
        seen["greetings"] = sum(text == f"hello n{number}" for number, text in enumerate(greetings))
        async with session.post("/sum", json=list(range(1000))) as response:
            seen["sum"] = (await response.json())["sum"]
        async with session.get("/count", params={"to": "1000"}) as response:
            lines = [line async for line in response.content]
        seen["lines"] = lines == [f"{number}\n".encode() for number in range(1000)]
        async with session.get("/missing") as response:
            seen["missing"] = response.status
        try:
            async with session.get("/hang", timeout=ClientTimeout(total=0.05)):
                seen["timeout"] = "none"
        except TimeoutError as error:
            seen["timeout"] = isinstance(error, asyncio.TimeoutError)
        async with session.ws_connect("/shout") as socket:
            await socket.send_str("quiet")
            seen["websocket"] = await socket.receive_str()
    return seen


async def main() -> None:
    app = web.Application()
    app.add_routes(
        [
            web.get("/hello/{name}", greet),
            web.post("/sum", sum_up),
            web.get("/count", count),
            web.get("/hang", hang),
            web.get("/shout", shout),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=1)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps(await visit(f"http://127.0.0.1:{port}")))
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
