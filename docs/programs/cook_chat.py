"""A chat room: what one guest says, all others hear."""

import asyncio
from contextlib import suppress


class Room:
    """The guests, each with a queue of what it has to be sent, and its connection."""

    def __init__(self):
        self.guests = {}

    def say(self, line, but=None):
        for name, (queue, writer) in self.guests.items():
            if name != but:
                try:
                    queue.put_nowait(line)
                except asyncio.QueueFull:
                    writer.transport.abort()  # too slow: it has to leave

    async def enter(self, reader, writer):
        name = (await reader.readline()).decode().strip()
        queue = asyncio.Queue(100)
        queue.put_nowait(f"welcome, {name}")
        self.say(f"{name} comes")
        self.guests[name] = queue, writer
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self.send(queue, writer))
                with suppress(ConnectionError):
                    async for line in reader:
                        self.say(f"{name}: {line.decode().rstrip()}", but=name)
                sending.cancel()
        finally:
            del self.guests[name]
            self.say(f"{name} goes")
            writer.close()

    async def send(self, queue, writer):
        with suppress(ConnectionError):  # the reader notices it, too
            while True:
                writer.write(f"{await queue.get()}\n".encode())
                await writer.drain()


async def guest(port, name, heard, here, says=()):
    """A guest: hears `heard` lines, says its own, leaves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{name}\n".encode())
    for line in says:
        writer.write(f"{line}\n".encode())
    lines = [(await reader.readline()).decode().rstrip()]
    here.set()  # it has been welcomed
    while len(lines) < heard:
        lines.append((await reader.readline()).decode().rstrip())
    writer.close()
    await writer.wait_closed()
    return lines


async def main():
    server = await asyncio.start_server(Room().enter, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    here = asyncio.Event()
    ann = asyncio.create_task(guest(port, "ann", heard=5, here=here))
    await here.wait()
    await guest(port, "bob", heard=1, here=here, says=["hello", "and goodbye"])
    for line in await ann:
        print(line)
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
