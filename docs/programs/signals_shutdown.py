import asyncio
import os
import signal


async def serve(reader, writer):
    data = await reader.read()
    await asyncio.sleep(0.05)  # work that takes its time
    writer.write(data)
    writer.close()


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)

    # A client is in the middle of it when the signal comes.
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"answered in spite of the signal")
    writer.write_eof()
    asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGTERM)

    await stop.wait()
    print("stopping")
    server.close()  # no new connections
    print((await reader.read()).decode())
    writer.close()
    await server.wait_closed()
    print("stopped")


asyncio.run(main())
