"""A guest of the chat room: what you type goes to the others, what they say is printed.

    ferrio run examples/chat_client.py NAME [--host 127.0.0.1] [--port 8008]

The end of the input (Ctrl-D) leaves the room.
"""

import argparse
import asyncio
import sys


async def listen(reader: asyncio.StreamReader) -> None:
    """Print what the room says until it ends."""
    while line := await reader.readline():
        print(line.decode(errors="replace").rstrip(), flush=True)


async def main(name: str, host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"{name}\n".encode())
    listening = asyncio.create_task(listen(reader))
    # In a thread: the input may be a terminal, a pipe or a file, and a loop cannot wait for a file.
    while line := await asyncio.to_thread(sys.stdin.readline):
        if listening.done():
            break
        writer.write(line.encode())
        await writer.drain()
    if not listening.done():
        writer.write_eof()
    await listening
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Enter the chat room.")
    parser.add_argument("name", help="what the others see")
    parser.add_argument("--host", default="127.0.0.1", help="the room's address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8008, help="the room's port (default: %(default)s)")
    options = parser.parse_args()
    asyncio.run(main(options.name, options.host, options.port))
