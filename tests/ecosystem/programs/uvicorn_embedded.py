"""uvicorn as a part of a program that has a loop of its own: it serves, is asked once, and is told to stop."""

import asyncio

import uvicorn


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config("asgi_app:app", port=0, loop="asyncio"))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        # uvicorn has no event for it, so this is what its users write.
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        print((await reader.read()).decode().splitlines()[-1])
        writer.close()
        await writer.wait_closed()
        server.should_exit = True


if __name__ == "__main__":
    asyncio.run(main())
