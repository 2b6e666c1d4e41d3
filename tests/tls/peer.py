"""The other end of a connection under test: TLS by hand over a plain socket.

A `Peer` has the ciphertext in its hands, so it can cut records where it likes, leave a close_notify out or unanswered,
and show what has been on the wire. It is `ssl.SSLObject` over two `MemoryBIO`s and the loop's `sock_*` methods; no
transport of either implementation is in it.
"""

import contextlib
import ssl

MOST = 65536
"""Bytes that are taken from the socket at a time."""

HANDSHAKE, APPLICATION_DATA = 22, 23
RECORD_HEADER = 5
MOST_IN_A_RECORD = 16384


class Peer:
    """One end of a TLS connection over the non-blocking socket *sock*."""

    def __init__(self, loop, sock, context, *, server_side, server_hostname=None, session=None):
        self.loop = loop
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
            session=session,
        )
        self.on_the_wire = bytearray()
        """All that has come from the socket."""

    async def flush(self):
        """Send what the SSL object has left to be sent."""
        if self.outgoing.pending:
            await self.loop.sock_sendall(self.sock, self.outgoing.read())

    async def fill(self, most=MOST):
        """Give the SSL object what comes next; returns that, empty at the end of TCP."""
        data = await self.loop.sock_recv(self.sock, most)
        self.on_the_wire += data
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return data

    async def drive(self, operation, *args, most=MOST):
        """Call *operation* until it needs nothing from the other end any more; returns its result."""
        while True:
            try:
                return operation(*args)
            except ssl.SSLWantReadError:
                await self.flush()
                await self.fill(most)
            finally:
                # The reason of a failure goes out as an alert, if the other end still listens.
                with contextlib.suppress(ConnectionError):
                    await self.flush()

    async def handshake(self, most=MOST):
        await self.drive(self.tls.do_handshake, most=most)

    async def handshake_but_for_the_last_flight(self):
        """Do the handshake, but leave what the other end needs for the end of its own in `outgoing`."""
        while True:
            try:
                return self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                await self.fill()

    async def read(self, most=MOST):
        """Decrypted data; empty after a close_notify. Raises ssl.SSLEOFError where TCP ends without one."""
        return await self.drive(self.tls.read, most)

    async def read_exactly(self, count, most=MOST):
        """*count* decrypted bytes; *most* bytes of ciphertext are taken from the socket at a time."""
        data = bytearray()
        while len(data) < count:
            more = await self.drive(self.tls.read, count - len(data), most=most)
            if not more:
                raise EOFError(f"a close_notify after {len(data)} of {count} bytes")
            data += more
        return bytes(data)

    async def read_to_the_end(self):
        """Decrypted data up to the close_notify."""
        data = bytearray()
        while more := await self.read():
            data += more
        return bytes(data)

    async def drain(self):
        """Read the socket to the end of TCP, whatever comes; returns the ciphertext."""
        data = bytearray()
        # A transport that is aborted with unread data in its socket resets the connection.
        with contextlib.suppress(ConnectionResetError):
            while more := await self.loop.sock_recv(self.sock, MOST):
                data += more
        self.on_the_wire += data
        return bytes(data)

    def encrypted(self, data):
        """The ciphertext of *data*, and of what was left to be sent before; it is not sent."""
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
        return self.outgoing.read()

    async def write(self, data):
        await self.send(self.encrypted(data))

    async def send(self, ciphertext):
        """Put bytes on the wire as they are."""
        await self.loop.sock_sendall(self.sock, ciphertext)

    async def close_notify(self):
        """Send a close_notify and wait for nothing."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self.flush()

    async def unwrap(self):
        """Send a close_notify and wait for the other end's."""
        await self.drive(self.tls.unwrap)

    def close(self):
        """Close the socket: the end of TCP, without a close_notify."""
        self.sock.close()


def records(wire):
    """The records in *wire*, as a list of (type, length); raises ValueError where it is not all TLS records."""
    found = []
    at = 0
    while at < len(wire):
        header = wire[at : at + RECORD_HEADER]
        if len(header) < RECORD_HEADER and 20 <= header[0] <= 23:
            raise ValueError(f"the last record lacks {RECORD_HEADER - len(header)} bytes of its header")
        if len(header) < RECORD_HEADER or not 20 <= header[0] <= 23 or header[1] != 3 or header[2] > 4:
            raise ValueError(f"no TLS record at byte {at}: {bytes(header)!r}")
        length = int.from_bytes(header[3:5], "big")
        if length > MOST_IN_A_RECORD + 256:
            raise ValueError(f"a record of {length} bytes at byte {at}")
        found.append((header[0], length))
        at += RECORD_HEADER + length
    if at > len(wire):
        raise ValueError(f"the last record lacks {at - len(wire)} bytes")
    return found
