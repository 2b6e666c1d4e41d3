"""Connections that end badly: resets in every state, half-closed peers, descriptors that run out."""

import asyncio
import contextlib
import os
import resource
import select
import socket
import struct
import tempfile

from observe import attempt, emit, outcome, polled, scenario, spin, until


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def kernel_says(exc):
    """Whichever of the two the kernel happens to say of a connection that was reset."""
    return "reset" if isinstance(exc, (ConnectionResetError, BrokenPipeError)) else exc


class Log(asyncio.Protocol):
    keep_open = False

    def __init__(self):
        self.received = 0
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += len(data)

    def eof_received(self):
        emit("eof_received", self.received)
        return self.keep_open

    def pause_writing(self):
        emit("pause_writing")

    def resume_writing(self):
        emit("resume_writing")

    def connection_lost(self, exc):
        emit("connection_lost", kernel_says(exc), self.received, self.transport.is_closing())
        self.lost.set_result(None)


async def pair(kind=Log):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname())
        peer, _ = listening.accept()
    ours.setblocking(False)
    peer.setblocking(False)
    _, protocol = await asyncio.get_running_loop().create_connection(kind, sock=ours)
    return protocol, peer


@scenario
async def reset_while_reading():
    protocol, peer = await pair()
    peer.send(b"x" * 1000)
    reset(peer)
    await protocol.lost
    attempt("write", protocol.transport.write, b"x")
    attempt("write_eof", protocol.transport.write_eof)
    attempt("close", protocol.transport.close)
    attempt("abort", protocol.transport.abort)
    attempt("pause_reading", protocol.transport.pause_reading)
    attempt("resume_reading", protocol.transport.resume_reading)
    emit(protocol.transport)


@scenario
async def reset_while_paused():
    protocol, peer = await pair()
    protocol.transport.pause_reading()
    peer.send(b"x")
    reset(peer)
    await spin(5)
    emit(protocol.lost.done(), protocol.received, protocol.transport.is_reading())
    protocol.transport.resume_reading()
    await protocol.lost


@scenario
async def reset_with_data_queued():
    for end in ("", "close", "write_eof"):
        protocol, peer = await pair()
        protocol.transport.write(bytes(8_000_000))
        emit(end, protocol.transport.get_write_buffer_size() > 0)
        if end:
            getattr(protocol.transport, end)()
        reset(peer)
        await protocol.lost
        emit(protocol.transport.get_write_buffer_size())


@scenario
async def reset_and_abort():
    protocol, peer = await pair()
    reset(peer)
    protocol.transport.abort()
    await protocol.lost


@scenario
async def half_closed_then_reset():
    class Keeps(Log):
        keep_open = True

    protocol, peer = await pair(Keeps)
    peer.send(b"request")
    peer.shutdown(socket.SHUT_WR)
    await until(lambda: protocol.received or not protocol.transport.is_reading())
    reset(peer)
    await polled()
    emit(protocol.lost.done(), protocol.transport.is_closing())
    protocol.transport.write(b"answer")
    await protocol.lost


@scenario
async def streams_and_resets():
    for doing in ("read", "readline", "readexactly", "drain", "wait_closed"):
        ours, peer = None, None
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            peer, _ = listening.accept()
        reader, writer = await asyncio.open_connection(sock=ours)
        if doing == "drain":
            writer.write(bytes(8_000_000))
        elif doing == "wait_closed":
            writer.write(bytes(8_000_000))
            writer.close()
        waiting = asyncio.ensure_future(
            {
                "read": reader.read,
                "readline": reader.readline,
                "readexactly": lambda reader=reader: reader.readexactly(10),
                "drain": writer.drain,
                "wait_closed": writer.wait_closed,
            }[doing]()
        )
        await polled()
        emit(doing, waiting.done())
        reset(peer)
        try:
            await waiting
        except OSError as exc:
            emit(doing, kernel_says(exc), kernel_says(reader.exception()), writer.is_closing())
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.contextmanager
def no_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    fillers = []
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)


@scenario
async def accepting_without_descriptors():
    loop = asyncio.get_running_loop()
    # How often it is said differs: stock goes on trying for as long as its backlog is.
    told = set()
    loop.set_exception_handler(
        lambda loop, context: told.add((context["message"], type(context["exception"]), *sorted(context)))
    )
    accepted = loop.create_future()

    class Accepted(Log):
        def connection_made(self, transport):
            super().connection_made(transport)
            accepted.set_result(self)

    server = await loop.create_server(Accepted, "127.0.0.1", 0)
    with socket.socket() as client:
        client.setblocking(False)
        with no_descriptors():
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await until(lambda: told)
        protocol = await accepted
    emit(told)
    await protocol.lost
    server.close()
    await server.wait_closed()


@scenario
async def connecting_without_descriptors():
    loop = asyncio.get_running_loop()
    with no_descriptors():
        await outcome("create_connection", loop.create_connection(Log, "127.0.0.1", 1))
        await outcome("open_connection", asyncio.open_connection("127.0.0.1", 1))
        await outcome("create_unix_connection", loop.create_unix_connection(Log, "\0nobody"))
        await outcome(
            "create_datagram_endpoint",
            loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 1)),
        )


@scenario(
    differs="`create_server()` that can open no socket raises `OSError`, as since 3.13. Before, asyncio "
    "returned a server without sockets.",
    differs_in=[(3, 11), (3, 12)],
    expected=[
        [
            "event",
            "create_server",
            "raised",
            {"exception": "OSError", "message": "could not bind on any address out of [('127.0.0.1', PORT)]"},
        ]
    ],
)
async def create_server_without_descriptors():
    with no_descriptors():
        server = asyncio.get_running_loop().create_server(Log, "127.0.0.1", 1)
        await outcome("create_server", server)


@scenario(
    differs="A server that is closed while it pauses, because the process has no descriptor left, stays "
    "closed. asyncio accepts again on the closed socket after a second, and reports an error.",
    expected=[["event", "told", ["socket.accept() out of system resource"]], ["event", "later", []]],
)
async def a_server_closed_while_it_pauses():
    loop = asyncio.get_running_loop()
    told = set()
    loop.set_exception_handler(lambda loop, context: told.add(context["message"]))
    server = await loop.create_server(Log, "127.0.0.1", 0)
    with socket.socket() as client:
        client.setblocking(False)
        with no_descriptors():
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await until(lambda: told)
        emit("told", told)
        told.clear()
        server.close()
        await asyncio.sleep(1.2)  # asyncio tries again after a second
    emit("later", told)


@scenario(
    differs="A socket that was closed without `remove_reader()` is forgotten. asyncio takes the next "
    "socket with the same number for it, and never reports that one as readable.",
    expected=[["event", "heard", "hello"]],
)
async def a_descriptor_closed_without_remove_reader():
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    loop.add_reader(ours, print)
    number = ours.fileno()
    ours.close()
    peer.close()
    ours, peer = socket.socketpair()
    if peer.fileno() == number:
        ours, peer = peer, ours
    with ours, peer:
        heard = loop.create_future()
        try:
            loop.add_reader(ours, lambda: heard.done() or heard.set_result(ours.recv(10).decode()))
        except OSError as exc:
            emit("refused", exc)
            return
        peer.send(b"hello")
        await polled()
        emit("heard", heard.done() and heard.result())
        loop.remove_reader(ours)


@scenario(
    differs="`sock_sendfile()` of a file that is closed meanwhile raises `ValueError`. asyncio goes on "
    "with whatever file has got the number.",
    expected=[["event", "raised", {"exception": "ValueError", "message": "I/O operation on closed file"}]],
)
async def a_file_closed_during_sendfile():
    loop = asyncio.get_running_loop()
    first, (ours, peer) = tempfile.TemporaryFile(), socket.socketpair()  # noqa: SIM115 - closed under sendfile()
    first.truncate(20_000_000)
    with ours, peer:
        ours.setblocking(False)
        sending = asyncio.ensure_future(loop.sock_sendfile(ours, first))
        # Until nothing more goes into the socket, in the middle of the file.
        await until(lambda: not select.select([], [ours], [], 0)[1])
        number = first.fileno()
        first.close()
        with open("/proc/self/exe", "rb") as second:
            assert second.fileno() == number
            peer.setblocking(False)
            while not sending.done():
                with contextlib.suppress(BlockingIOError):
                    peer.recv(1 << 20)
                await asyncio.sleep(0)
        try:
            emit("sent", await sending > 0)
        except ValueError as exc:
            emit("raised", exc)
