"""A small HTTP/1.1 server on asyncio alone, in one of three styles, for load generators and proxies.

    http_server.py protocol | buffered | streams [CERTIFICATE]

`GET /` is a greeting; `GET /bytes/N` is N bytes 0, 1, … 255, 0, …; `POST` gives the body back. Connections are kept
unless the client says otherwise, requests may come in pipelines, bodies have a Content-Length. It prints its port, and
ends on SIGTERM. With a certificate (and its key, in one file) it speaks TLS.
"""

import asyncio
import signal
import ssl
import sys

NUMBERS = bytes(range(256)) * 256


class Incomplete(Exception):
    """More has to come before this is a request."""


def answer(buffer: bytearray) -> tuple[list[bytes], bool]:
    """Take one request off the buffer; returns what to send and whether the connection is kept."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        raise Incomplete
    request, *lines = bytes(buffer[:end]).split(b"\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in lines)
    length = int(headers.get(b"content-length", b"0"))
    if len(buffer) < end + 4 + length:
        raise Incomplete
    sent = bytes(buffer[end + 4 : end + 4 + length])
    del buffer[: end + 4 + length]
    method, path, version = request.split(b" ")
    if method == b"POST":
        body = [sent]
    elif path.startswith(b"/bytes/"):
        whole, rest = divmod(int(path[7:]), len(NUMBERS))
        body = [NUMBERS] * whole + [NUMBERS[:rest]]
    else:
        body = [b"hello\n"]
    kept = headers.get(b"connection") != b"close" and version == b"HTTP/1.1"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n" % (
        sum(map(len, body)), b"keep-alive" if kept else b"close",
    )  # fmt: skip
    return [head, *body], kept


class Web(asyncio.Protocol):
    """A connection that is told of data in `data_received`, and answers with `writelines`."""

    def connection_made(self, transport):
        self.transport = transport
        self.pending = bytearray()

    def data_received(self, data):
        self.pending += data
        try:
            while not self.transport.is_closing():
                parts, kept = answer(self.pending)
                self.transport.writelines(parts)
                if not kept:
                    self.transport.close()
        except Incomplete:
            return


class BufferedWeb(asyncio.BufferedProtocol):
    """The same, reading into a buffer of its own."""

    def connection_made(self, transport):
        self.transport = transport
        self.pending = bytearray()
        self.buffer = bytearray(16_384)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, size):
        Web.data_received(self, self.buffer[:size])


async def serve(reader, writer):
    """A connection with streams, which waits until what it wrote may go on."""
    pending = bytearray()
    kept = True
    while kept:
        try:
            parts, kept = answer(pending)
        except Incomplete:
            data = await reader.read(65_536)
            if not data:
                break
            pending += data
            continue
        for part in parts:
            writer.write(part)
            await writer.drain()
    writer.close()
    await writer.wait_closed()


async def quietly(reader, writer):
    try:
        await serve(reader, writer)
    except ConnectionError:
        # The client has gone; that is its right.
        writer.close()


async def main(style: str, certificate: str | None = None) -> None:
    loop = asyncio.get_running_loop()
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    if style == "streams":
        server = await asyncio.start_server(quietly, "127.0.0.1", 0, ssl=context)
    else:
        kind = {"protocol": Web, "buffered": BufferedWeb}[style]
        server = await loop.create_server(kind, "127.0.0.1", 0, ssl=context)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    # Without waiting for the connections: a proxy keeps its own for later.
    server.close()
    print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
