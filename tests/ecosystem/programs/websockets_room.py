"""A room of WebSockets on `websockets`, server and clients in one process.

    websockets_room.py            over TCP
    websockets_room.py PATH       over a Unix socket
    websockets_room.py X.pem      over TCP and TLS, with this certificate

Echo of text and bytes, fragments, compression, large messages, broadcast, pings, closing codes, a slow reader, a peer
that vanishes, reconnecting. Prints what came of it as one line of JSON.
"""

import asyncio
import contextlib
import json
import ssl
import sys

from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import ServerConnection, broadcast, serve, unix_serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

guests: set[ServerConnection] = set()
left: asyncio.Queue[str] = asyncio.Queue()


async def visit(socket: ServerConnection) -> None:
    """What the server does with a visitor depends on the path."""
    match socket.request.path:
        case "/echo":
            async for message in socket:
                await socket.send(message)
        case "/fragments":
            async for message in socket:
                await socket.send([message[start : start + 7] for start in range(0, len(message), 7)])
        case "/room":
            guests.add(socket)
            try:
                async for message in socket:
                    broadcast(guests, message)
            finally:
                guests.discard(socket)
        case "/flood":
            for number in range(2000):
                await socket.send(b"%04d" % number + bytes(10_000))
        case "/trouble":
            raise RuntimeError("trouble, as asked for")
        case "/leave":
            with contextlib.suppress(ConnectionClosed):
                await socket.wait_closed()
            left.put_nowait(f"{socket.close_code} {socket.close_reason}".strip())


async def refuse(connection: ServerConnection, request: object) -> object:
    return connection.respond(403, "not for you\n") if request.path == "/closed" else None


async def converse(dial) -> dict[str, object]:
    """Everything but the closing down, one thing after the other."""
    seen: dict[str, object] = {}
    async with dial("/echo") as socket:
        for number in range(1000):
            await socket.send(f"grüß dich {number}")
            assert await socket.recv() == f"grüß dich {number}"
        large = bytes(range(256)) * 20_000
        await socket.send(large)
        seen["large"] = await socket.recv() == large
        await socket.send(["in ", "three ", "parts"])
        seen["parts"] = await socket.recv()
        # All at once: the answers come back while these still go out.
        sent = asyncio.create_task(every(socket, 5000))
        seen["at once"] = [await socket.recv() for _ in range(5000)] == [
            str(number) for number in range(5000)
        ]
        await sent
        seen["ping"] = await (await socket.ping()) >= 0
    seen["closed"] = [socket.close_code, socket.close_reason]

    async with dial("/fragments", compression=None) as socket:
        await socket.send("a message of some words")
        seen["streamed"] = [part async for part in socket.recv_streaming()]

    async with dial("/flood", max_queue=2) as socket:
        # Nothing is read for a while: the server stands still in `send` meanwhile, and nothing is lost by it. No event
        # on this side says that it does; if it were not so far yet, the test would only ask for less.
        await asyncio.sleep(0.1)
        seen["flood"] = [int(message[:4]) async for message in socket] == list(range(2000))

    try:
        async with dial("/trouble") as socket:
            await socket.recv()
    except ConnectionClosedError as error:
        seen["trouble"] = error.rcvd.code
    try:
        async with dial("/closed"):
            pass
    except InvalidStatus as error:
        seen["refused"] = [error.response.status_code, error.response.body.decode()]
    socket = await dial("/leave")
    await socket.close(4000, "had enough")
    seen["left"] = [await left.get()]
    socket = await dial("/leave")
    socket.transport.abort()
    await socket.wait_closed()
    seen["left"].append(await left.get())
    return seen


async def every(socket, count: int) -> None:
    for number in range(count):
        await socket.send(str(number))


async def hundred(dial) -> int:
    """A hundred guests, each of whom speaks once: each hears all of them. Returns how many were heard by all."""
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(dial("/room")) for _ in range(100)]
        while len(guests) < 100:
            await asyncio.sleep(0)
        for number, socket in enumerate(sockets):
            await socket.send(str(number))

        async def listen(socket) -> frozenset[str]:
            return frozenset([await socket.recv() for _ in range(100)])

        return len(frozenset.intersection(*await asyncio.gather(*[listen(socket) for socket in sockets])))


async def ten_thousand(dial) -> int:
    """10,000 messages there and back over 20 connections; returns how many came back right."""

    async def client(name: int) -> int:
        right = 0
        async with dial("/echo") as socket:
            for number in range(500):
                await socket.send(f"{name} {number}")
                right += await socket.recv() == f"{name} {number}"
        return right

    return sum(await asyncio.gather(*[client(name) for name in range(20)]))


async def reconnect(dial, server) -> list[object]:
    """A client that comes back by itself when the server closes its connection."""
    seen: list[object] = []
    async for socket in dial("/echo"):
        try:
            await socket.send(f"time {len(seen)}")
            seen.append(await socket.recv())
            if len(seen) == 3:
                await socket.close()
                return seen
            for connection in server.connections:
                await connection.close(1012, "again, please")
            await socket.recv()
        except ConnectionClosed as error:
            assert error.rcvd.code == 1012
    return seen


async def main(path: str | None) -> None:
    if path is None or path.endswith(".pem"):
        context = None
        if path:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(path)
        server = await serve(visit, "127.0.0.1", 0, process_request=refuse, max_size=None, ssl=context)
        scheme = "wss" if context else "ws"
        port = server.sockets[0].getsockname()[1]

        def dial(where: str, **options):
            return connect(f"{scheme}://127.0.0.1:{port}{where}", max_size=None, proxy=None, **options)
    else:
        server = await unix_serve(visit, path, process_request=refuse, max_size=None)

        def dial(where: str, **options):
            return unix_connect(path, f"ws://localhost{where}", max_size=None, **options)

    async with server:
        seen = await converse(dial)
        seen["heard by all"] = await hundred(dial)
        seen["ten thousand"] = await ten_thousand(dial)
        seen["reconnected"] = await reconnect(dial, server)
        guest = await dial("/echo")
        server.close()
        try:
            await guest.recv()
        except ConnectionClosed as error:
            seen["closing down"] = error.rcvd.code
        await server.wait_closed()
    print(json.dumps(seen))


if __name__ == "__main__":
    import logging

    # What /trouble raises is logged by the server; it is meant.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    asyncio.run(main(*sys.argv[1:] or [None]))
