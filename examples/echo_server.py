"""A TCP server that sends back what it is sent, until Ctrl-C or SIGTERM.

    ferrio run examples/echo_server.py [--host 127.0.0.1] [--port 8007]

Port 0 asks the system for a free one; the line that the server prints names it. `examples/echo_client.py`
talks to it, and so does `nc 127.0.0.1 8007`.
"""

import argparse
import asyncio
import signal


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection: everything back, and the end of the stream too."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        # The client is gone without a farewell; there is nobody left to tell.
        return
    finally:
        writer.close()


async def main(host: str, port: int) -> None:
    server = await asyncio.start_server(echo, host, port)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    address, port, *_ = server.sockets[0].getsockname()
    print(f"echo server on {address}:{port}", flush=True)
    await ended
    # No `wait_closed()`: it would wait for the clients. `asyncio.run()` cancels what still talks to them.
    server.close()
    print("echo server closed", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send back what is sent.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8007, help="0: any free one (default: %(default)s)")
    options = parser.parse_args()
    asyncio.run(main(options.host, options.port))
