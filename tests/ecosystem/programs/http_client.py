"""A client of HTTP servers on asyncio's streams alone.

    http_client.py PORT [--tls]

Asks `/` and `/large` of 127.0.0.1 in pipelines, over many connections, with connections of one use, and by halves;
prints what came of it as one line of JSON. `/large` is one mebibyte of bytes 0, 1, … 255, 0, ….
"""

import asyncio
import json
import sys

# The default context, which trusts what the environment says.
TLS = True if "--tls" in sys.argv else None
LARGE = bytes(range(256)) * 4096


async def response(reader: asyncio.StreamReader) -> bytes:
    """The body of one response."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 206 ")), head
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    return await reader.readexactly(int(headers[b"content-length"]))


def request(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]).encode()


async def pipelined(port: int) -> int:
    """500 requests, the next ones sent while answers come in; returns how many answers were right."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=TLS)

    async def send() -> None:
        for _ in range(500):
            writer.write(request("/"))
            await writer.drain()

    sent = asyncio.create_task(send())
    right = sum([await response(reader) == b"hello\n" for _ in range(500)])
    await sent
    writer.close()
    await writer.wait_closed()
    return right


async def single(port: int) -> int:
    """A connection for one request, which the server closes; returns the length of the body if it was right."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=TLS)
    writer.write(request("/", "Connection: close"))
    body = await response(reader)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    return len(body)


async def main(port: int) -> None:
    seen: dict[str, object] = {}
    seen["pipelined"] = sum(await asyncio.gather(*[pipelined(port) for _ in range(16)]))
    seen["single"] = sum([sum(await asyncio.gather(*[single(port) for _ in range(50)])) for _ in range(20)])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096, ssl=TLS)
    for _ in range(8):
        writer.write(request("/large"))
    bodies = [await response(reader) for _ in range(8)]
    seen["large"] = [body == LARGE for body in bodies].count(True)
    writer.write(request("/large", "Range: bytes=1000-1009"))
    seen["range"] = list(await response(reader))
    # Left in the middle of an answer: the next connection starts clean.
    writer.write(request("/large"))
    await reader.readexactly(1000)
    writer.transport.abort()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    seen["after it"] = await single(port)
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
