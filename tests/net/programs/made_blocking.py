"""A descriptor of a transport that somebody has made blocking: a system call on it must not stop other threads.

The flag belongs to the open file, which a duplicate shares. In each case only another thread can bring the call to its
end; a process in which that thread does not run hangs for good.
"""

import asyncio
import os
import pty
import socket
import struct
import sys
import threading
import tty
import warnings

# The peers stay open to the end.
warnings.simplefilter("ignore", ResourceWarning)


def in_thread(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def make_blocking(fd):
    duplicate = os.dup(fd)
    os.set_blocking(duplicate, True)
    os.close(duplicate)


class Ending(asyncio.Protocol):
    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def stream():
    ours, peer = socket.socketpair()
    transport, protocol = await asyncio.get_running_loop().create_connection(Ending, sock=ours)
    make_blocking(transport.get_extra_info("socket").fileno())
    received = bytearray()

    def read():
        while chunk := peer.recv(1 << 20):
            received.extend(chunk)

    reading = in_thread(read)
    for _ in range(30):
        transport.write(bytes(100_000) + b"x")
        transport.write(b"y")
    transport.writelines([b"z" * 10] * 100)
    transport.close()
    assert await protocol.lost is None
    reading.join()
    assert len(received) == 30 * 100_002 + 1000


async def datagrams():
    ours, peer = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    # An abstract address, which the kernel chooses.
    peer.bind("")
    ours.setblocking(False)
    ours.connect(peer.getsockname())

    class Datagrams(Ending, asyncio.DatagramProtocol):
        pass

    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, sock=ours)
    make_blocking(transport.get_extra_info("socket").fileno())
    reading = in_thread(lambda: [peer.recv(100) for _ in range(1000)])
    for _ in range(1000):
        transport.sendto(b"x" * 100)
    transport.close()
    await protocol.lost
    reading.join()


async def listener():
    accepted, enough, some = [], threading.Event(), asyncio.Event()

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport):
            accepted.append(transport)
            if len(accepted) == 20:
                some.set()

    server = await asyncio.get_running_loop().create_server(Accepted, "127.0.0.1", 0, backlog=3)
    make_blocking(server.sockets[0].fileno())
    address = server.sockets[0].getsockname()
    clients = []

    def connect():
        while not enough.is_set():
            try:
                clients.append(socket.create_connection(address))
            except ConnectionError:
                # Refused by a server that has been closed meanwhile.
                if not enough.is_set():
                    raise

    in_thread(connect)
    await some.wait()
    enough.set()
    server.close()
    for transport in accepted:
        transport.abort()


async def written_pipe():
    reader, writer = os.pipe()
    await write_to_file(reader, writer)


async def written_terminal():
    """Terminals cannot be asked not to wait."""
    reader, writer = pty.openpty()
    tty.setraw(writer)
    await write_to_file(reader, writer)


async def write_to_file(reader, writer):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(Ending, os.fdopen(writer, "wb", 0))
    make_blocking(writer)
    received = []

    def read():
        while sum(received) < 300_001:
            received.append(len(os.read(reader, 1 << 16)))

    reading = in_thread(read)
    transport.write(b"x" * 200_000)
    transport.write(b"y" * 100_000)
    transport.write(b"z")
    while transport.get_write_buffer_size():
        await asyncio.sleep(0.001)  # nothing says when it is empty
    reading.join()
    transport.close()
    assert await protocol.lost is None


async def read_pipe():
    reader, writer = os.pipe()
    await read_from_file(reader, writer)


async def read_terminal():
    writer, reader = pty.openpty()
    tty.setraw(reader)
    await read_from_file(reader, writer)


async def read_from_file(reader, writer):
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reader, "rb", 0)
    )
    make_blocking(reader)
    for _ in range(20):
        in_thread(lambda: os.write(writer, b"x" * 1000))
        assert await stream.readexactly(1000) == b"x" * 1000
    transport.close()


async def lingering_close():
    """The end of a connection waits for the peer to take what was sent, if it is told to."""
    made = asyncio.get_running_loop().create_future()

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport):
            made.set_result(transport)

    listening = socket.create_server(("127.0.0.1", 0))
    # Accepted connections inherit it.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000))
    server = await asyncio.get_running_loop().create_server(Accepted, sock=listening)
    with socket.create_connection(listening.getsockname()) as peer:
        transport = await made
        transport.write(b"x" * 20_000_000)
        begin = threading.Event()

        def read():
            begin.wait()
            while peer.recv(1 << 20):
                pass

        reading = in_thread(read)
        asyncio.get_running_loop().call_soon(begin.set)
        transport.abort()
        while reading.is_alive():
            await asyncio.sleep(0.001)  # the loop is to go on meanwhile
    server.close()


asyncio.run(globals()[sys.argv[1]](), debug=False)
