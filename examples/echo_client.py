"""Many clients of the echo server at once, in one process.

    ferrio run examples/echo_client.py [--port 8007] [--clients 50] [--messages 20]

Every client opens a connection and sends its messages one after another, each when the last has come back
unchanged; a line at the end says how many did.
"""

import argparse
import asyncio


async def client(number: int, host: str, port: int, messages: int) -> int:
    """One connection; returns how many bytes came back. Raises ValueError if one of them differs."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        received = 0
        for turn in range(messages):
            line = f"client {number}, message {turn}\n".encode()
            writer.write(line)
            await writer.drain()
            answer = await reader.readexactly(len(line))
            if answer != line:
                raise ValueError(f"sent {line!r}, got back {answer!r}")
            received += len(answer)
        return received
    finally:
        writer.close()
        await writer.wait_closed()


async def main(host: str, port: int, clients: int, messages: int) -> None:
    async with asyncio.timeout(60):
        sizes = await asyncio.gather(*[client(number, host, port, messages) for number in range(clients)])
    print(f"{clients} clients, {clients * messages} messages, {sum(sizes)} bytes, all came back")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send messages to the echo server and check the answers.")
    parser.add_argument("--host", default="127.0.0.1", help="the server's address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8007, help="the server's port (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=50, help="connections (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=20, help="per connection (default: %(default)s)")
    options = parser.parse_args()
    asyncio.run(main(options.host, options.port, options.clients, options.messages))
