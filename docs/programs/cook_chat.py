"""A chat room: what one guest says, all others hear."""

import asyncio


class Room:
    """The guests, each with a queue of what it has to be sent."""

    def __init__(self):
        self.guests = {}

    def say(self, line, but=None):
        for name, queue in self.guests.items():
            if name != but:
                try:
                    queue.put_nowait(line)
                except asyncio.QueueFull:
                    queue.shutdown(immediate=True)  # too slow: it has to leave

    async def enter(self, reader, writer):
        name = (await reader.readline()).decode().strip()
        queue = self.guests[name] = asyncio.Queue(100)
        self.say(f"{name} comes", but=name)
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self.send(queue, writer))
                async for line in reader:
                    self.say(f"{name}: {line.decode().rstrip()}", but=name)
                sending.cancel()
        finally:
            del self.guests[name]
            self.say(f"{name} goes")
            writer.close()

    async def send(self, queue, writer):
        while True:
            writer.write(f"{await queue.get()}\n".encode())
            await writer.drain()


async def guest(port, name, heard, says=()):
    """A guest: hears `heard` lines, says its own, leaves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{name}\n".encode())
    for line in says:
        writer.write(f"{line}\n".encode())
    lines = [(await reader.readline()).decode().rstrip() for _ in range(heard)]
    writer.close()
    await writer.wait_closed()
    return lines


async def main():
    server = await asyncio.start_server(Room().enter, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ann = asyncio.create_task(guest(port, "ann", heard=4))
    await asyncio.sleep(0.05)  # ann is there first
    await guest(port, "bob", heard=0, says=["hello", "and goodbye"])
    for line in await ann:
        print(line)
    server.close()
    await server.wait_closed()


asyncio.run(main())
