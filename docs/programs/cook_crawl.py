"""A crawler: follows links, asks no page twice, and no more often than it is allowed to."""

import asyncio
import re

from ferrio.extras import RateLimiter

PAGES = {f"/{n}": " ".join(f'<a href="/{m}">' for m in (2 * n, 2 * n + 1) if m < 40) for n in range(1, 40)}


async def site(reader, writer):
    path = (await reader.readline()).split()[1].decode()
    while (await reader.readline()).strip():
        pass
    body = PAGES[path].encode()
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    writer.close()


async def fetch(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return body.decode()


async def main():
    server = await asyncio.start_server(site, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limiter = RateLimiter(500)  # requests per second
    seen = set()

    async with asyncio.TaskGroup() as group:

        async def visit(path):
            async with limiter:
                page = await fetch(port, path)
            for link in re.findall(r'href="([^"]+)"', page):
                if link not in seen:
                    seen.add(link)
                    group.create_task(visit(link))

        seen.add("/1")
        group.create_task(visit("/1"))
    print(len(seen), "pages")
    server.close()


asyncio.run(main())
