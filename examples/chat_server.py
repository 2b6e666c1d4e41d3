"""A chat room on a TCP port: the first line of a connection is a name, every further one goes to the others.

    ferrio run examples/chat_server.py [--host 127.0.0.1] [--port 8008]

Talk to it with `examples/chat_client.py`, or with `nc 127.0.0.1 8008`. Ctrl-C or SIGTERM says goodbye to
everybody and ends it.
"""

import argparse
import asyncio
import contextlib
import signal


class Room:
    """The members of the room, and the server's side of their conversations."""

    def __init__(self) -> None:
        self.guests: dict[str, asyncio.StreamWriter] = {}

    def tell(self, line: str, but: str | None = None) -> None:
        """Send a line to everybody `but` one. A guest who does not read is skipped, not waited for."""
        for name, writer in self.guests.items():
            if name != but and writer.transport.get_write_buffer_size() < 1 << 20:
                writer.write(f"{line}\n".encode())

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, from its name to its end."""
        name = ""
        try:
            name = (await reader.readline()).decode(errors="replace").strip()
            if not name or name in self.guests:
                writer.write(b"that name is taken or empty; come back with another\n")
                name = ""
                return
            here = ", ".join(self.guests) or "nobody else"
            writer.write(f"welcome {name}; here: {here}\n".encode())
            self.guests[name] = writer
            self.tell(f"* {name} came in", but=name)
            while line := await reader.readline():
                self.tell(f"{name}: {line.decode(errors='replace').rstrip()}", but=name)
        except ConnectionError:
            # Gone without a farewell: the others are told below as after any end.
            pass
        finally:
            if name:
                del self.guests[name]
                self.tell(f"* {name} left")
            writer.close()


async def main(host: str, port: int) -> None:
    room = Room()
    server = await asyncio.start_server(room.talk, host, port)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    address, port, *_ = server.sockets[0].getsockname()
    print(f"chat server on {address}:{port}", flush=True)
    await ended
    server.close()
    room.tell("* the room is closing")
    writers = list(room.guests.values())
    for writer in writers:
        writer.close()
    # A moment for the farewell to go out; a guest who does not read must not keep the room open.
    goodbyes = asyncio.gather(*[writer.wait_closed() for writer in writers], return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(goodbyes, 1)
    print("chat server closed", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat room on a TCP port.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8008, help="0: any free one (default: %(default)s)")
    options = parser.parse_args()
    asyncio.run(main(options.host, options.port))
