"""A client on `websockets` for the WebSocket of `asgi_room.py`, wherever it is served.

    websockets_client.py URL

Prints what came of it as one line of JSON.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


async def client(url: str, name: int) -> int:
    """500 messages there and back; returns how many came back right."""
    right = 0
    async with connect(url, proxy=None) as socket:
        for number in range(500):
            await socket.send(f"{name} {number}")
            right += await socket.recv() == f"{name} {number}"
    return right


async def main(url: str) -> None:
    seen: dict[str, object] = {}
    seen["right"] = sum(await asyncio.gather(*[client(url, name) for name in range(20)]))
    large = bytes(range(256)) * 3000
    async with connect(url, proxy=None, max_size=None) as socket:
        await socket.send(large)
        seen["large"] = await socket.recv() == large
        await socket.send(["in ", "three ", "parts"])
        seen["parts"] = await socket.recv()
        seen["ping"] = await (await socket.ping()) >= 0
        await socket.send("bye")
        try:
            await socket.recv()
        except ConnectionClosed as error:
            seen["closed"] = [error.rcvd.code, error.rcvd.reason]
    try:
        async with connect(url + "no", proxy=None):
            pass
    except InvalidStatus as error:
        seen["refused"] = error.response.status_code
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
