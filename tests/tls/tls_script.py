"""Random scripts for one TLS connection, and what has to hold whatever they do.

A script is a list of steps, each a tuple: its name and its arguments. The steps are those of a program (write, pause,
close, abort …), of the `Peer` (encrypt some data, let so many bytes of ciphertext out, change one of them, close or
break off the connection), and turns of the loop. Both directions carry the same endless sequence of numbers, so that
what arrives can be checked wherever it stops.

`tls_seeds.py` has scripts that are always played.
"""

import contextlib
import socket
import ssl
import struct

import contexts
from hypothesis import strategies as st
from peer import MOST, Peer, records

# Long enough for any script; a prime period, so that a shift by a record or a buffer shows.
SEQUENCE = bytes(number % 251 for number in range(4_000_000))

TURNS = 2000
"""So many turns, in the order of magnitude, are taken by a `BufferedProtocol` to read all that was sent."""

SIZES = st.one_of(
    st.integers(0, 20),
    st.sampled_from([16383, 16384, 16385, 17 * 1024, 65536, 262144, 262145, 600_000]),
    st.integers(0, 40_000),
)

STEPS = st.one_of(
    st.tuples(st.just("write"), SIZES),
    st.tuples(st.just("writelines"), st.lists(SIZES, max_size=4)),
    st.tuples(st.just("pause")),
    st.tuples(st.just("resume")),
    st.tuples(st.just("limits"), st.sampled_from([0, 1, 1000, 70_000])),
    st.tuples(st.just("buffered"), st.sampled_from([1, 100, 16384, 100_000])),
    st.tuples(st.just("copied")),
    st.tuples(st.just("peer encrypts"), SIZES),
    st.tuples(st.just("let out"), SIZES),
    st.tuples(st.just("peer reads"), SIZES),
    st.tuples(st.just("turns"), st.integers(1, 4)),
    st.tuples(
        st.just("when data comes"), st.sampled_from(["write", "pause", "close", "abort", "resume soon"])
    ),
)
ENDS = st.one_of(
    st.tuples(st.just("close")),
    st.tuples(st.just("abort")),
    st.tuples(st.just("peer closes")),
    st.tuples(st.just("peer breaks off")),
    st.tuples(st.just("peer resets")),
    st.tuples(st.just("change a byte"), st.integers(0, 100_000)),
    st.tuples(st.just("plain text")),
)
SCRIPTS = st.tuples(
    st.sampled_from(["client", "server"]),
    st.sampled_from(["1.2", "1.3"]),
    st.lists(STEPS, max_size=20),
    ENDS,
    st.lists(STEPS, max_size=8),
)

ROUGH = {"abort", "peer breaks off", "peer resets", "change a byte", "plain text"}
"""Ends after which data may be missing. After the others all of it has to arrive."""


class Play:
    """One script being played; the checks are made as things happen."""

    def __init__(self, asyncio, side, version):
        self.asyncio = asyncio
        self.loop = asyncio.get_running_loop()
        self.side = side
        self.version = version
        self.written = 0
        self.heard = 0
        self.encrypted = 0
        self.pending = b""
        self.read = 0
        self.rough = False
        self.closing = False
        self.peer_has_closed = False
        self.peer_has_ended = False
        self.on_data = None
        self.calls = []
        self.writing_paused = False
        self.lost = self.loop.create_future()
        self.reported = []
        self.loop.set_exception_handler(lambda loop, context: self.reported.append(context))

    # ------------------------------------------------------------------------------ the protocol

    def protocol(self, size=None):
        play = self

        class Base(self.asyncio.BaseProtocol):
            def connection_made(self, transport):
                play.called("made")

            def eof_received(self):
                play.called("eof")

            def pause_writing(self):
                play.called("pause")

            def resume_writing(self):
                play.called("resume")

            def connection_lost(self, exc):
                play.called("lost")
                play.lost.set_result(exc)

        class Copied(Base, self.asyncio.Protocol):
            def data_received(self, data):
                play.took(data)

        class Buffered(Base, self.asyncio.BufferedProtocol):
            def get_buffer(self, sizehint):
                # A buffer a turn: with much to come, tiny ones would take longer than a script may.
                least = (play.encrypted - play.heard) // TURNS
                self.offered = memoryview(bytearray(max(size, least)))
                return self.offered

            def buffer_updated(self, nbytes):
                play.took(self.offered[:nbytes])

        return Copied() if size is None else Buffered()

    def called(self, name):
        assert "lost" not in self.calls, f"{name} after connection_lost()"
        if name in ("pause", "resume"):
            assert self.writing_paused == (name == "resume"), f"{name} twice"
            self.writing_paused = name == "pause"
        else:
            assert name not in self.calls, f"a second {name}"
            self.calls.append(name)

    def took(self, data):
        assert "lost" not in self.calls and "eof" not in self.calls, f"data after {self.calls[-1]}"
        count = len(data)
        assert count > 0
        assert data == SEQUENCE[self.heard : self.heard + count], f"wrong data at {self.heard}"
        self.heard += count
        assert self.heard <= self.encrypted, "more than was sent"
        action, self.on_data = self.on_data, None
        if action == "write":
            self.write(100)
        elif action == "pause":
            self.transport.pause_reading()
        elif action == "resume soon":
            self.transport.pause_reading()
            self.loop.call_soon(self.transport.resume_reading)
        elif action in ("close", "abort") and not self.transport.is_closing():
            self.step_of_program(action)

    # ------------------------------------------------------------------------------ steps

    def take(self, count):
        """The next *count* bytes that the program writes."""
        count = min(count, len(SEQUENCE) - self.written)
        data = SEQUENCE[self.written : self.written + count]
        if not self.closing:
            self.written += count
        return data

    def write(self, count):
        data = bytearray(self.take(count))
        self.transport.write(data)
        # What has been written does not change with the program's buffer.
        data[:] = bytes(len(data))

    def step_of_program(self, name):
        if name == "abort":
            self.rough = True
            self.transport.abort()
        else:
            self.transport.close()
        # What comes from now on may be dropped.
        self.closing = True

    def end_of_tcp(self):
        self.peer_has_ended = self.rough = True

    async def step(self, name, *args):
        transport = self.transport
        if name == "write":
            self.write(*args)
        elif name == "writelines":
            transport.writelines([self.take(size) for size in args[0]])
        elif name == "pause":
            transport.pause_reading()
        elif name == "resume":
            transport.resume_reading()
        elif name == "limits":
            # On a closing transport asyncio may ask a protocol that is gone to pause.
            if not transport.is_closing():
                transport.set_write_buffer_limits(high=args[0])
        elif name == "buffered":
            transport.set_protocol(self.protocol(args[0]))
        elif name == "copied":
            transport.set_protocol(self.protocol())
        elif name == "when data comes":
            self.on_data = args[0]
        elif name in ("close", "abort"):
            # asyncio's forgets its SSLProtocol in a second close(), and fails in whatever is called later.
            if not transport.is_closing():
                self.step_of_program(name)
        elif name == "turns":
            for _ in range(args[0]):
                await self.asyncio.sleep(0)
        elif name == "peer reads":
            self.peer_reads(*args)
        elif not self.peer_has_ended:
            await self.step_of_peer(name, *args)

    async def step_of_peer(self, name, *args):
        peer = self.peer
        if name == "peer encrypts" and not self.peer_has_closed:
            count = min(args[0], len(SEQUENCE) - self.encrypted)
            if count:
                self.pending += peer.encrypted(SEQUENCE[self.encrypted : self.encrypted + count])
                self.encrypted += count
        elif name == "let out":
            self.let_out(args[0])
        elif name == "peer closes" and not self.peer_has_closed:
            self.peer_has_closed = True
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLError):
                peer.tls.unwrap()
            self.pending += peer.outgoing.read()
        elif name == "peer breaks off":
            self.end_of_tcp()
            with contextlib.suppress(OSError):  # the other end has reset the connection
                peer.sock.shutdown(socket.SHUT_WR)
        elif name == "peer resets":
            self.end_of_tcp()
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sock.close()
        elif name == "change a byte" and self.pending:
            self.rough = True
            changed = bytearray(self.pending)
            changed[args[0] % len(changed)] ^= 1 << (args[0] % 8)
            self.pending = bytes(changed)
        elif name == "plain text":
            self.rough = True
            self.pending += b"GET / HTTP/1.1\r\n\r\n"

    def let_out(self, most):
        """Send as much of the ciphertext that is held back as the socket takes, and no more than *most* bytes."""
        try:
            sent = self.peer.sock.send(self.pending[:most])
        except BlockingIOError:
            return
        except (ConnectionError, OSError):
            self.rough = True
            return
        self.pending = self.pending[sent:]

    def peer_reads(self, most):
        """Take what is there; returns whether the end of TCP has come."""
        if self.peer.sock.fileno() == -1 or not most:
            return self.peer.sock.fileno() == -1
        try:
            data = self.peer.sock.recv(most)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        self.peer.on_the_wire += data
        if not data:
            return True
        self.peer.incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLError):
            while plain := self.peer.tls.read(65536):
                assert plain == SEQUENCE[self.read : self.read + len(plain)], f"wrong data at {self.read}"
                self.read += len(plain)
                assert self.read <= self.written, "more than was written"
        return False

    # ------------------------------------------------------------------------------ the whole

    async def connect(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            theirs, _ = listening.accept()
        for sock in (ours, theirs):
            sock.setblocking(False)
        server, client = contexts.server_context(self.version), contexts.client_context(self.version)
        if self.side == "client":
            self.peer = Peer(self.loop, theirs, server, server_side=True)
            connecting = self.loop.create_connection(
                self.protocol, sock=ours, ssl=client, server_hostname="localhost", ssl_shutdown_timeout=0.5
            )
        else:
            self.peer = Peer(self.loop, theirs, client, server_side=False, server_hostname="localhost")
            connecting = self.loop.connect_accepted_socket(
                self.protocol, ours, ssl=server, ssl_shutdown_timeout=0.5
            )
        (self.transport, _), _ = await self.asyncio.gather(connecting, self.peer.handshake())
        self.sock = ours

    async def finish(self, by_transport):
        """Let out what is held back, close from one side if it was not done, and read to the end."""
        if not self.closing:
            self.transport.resume_reading()
        ended = self.peer.sock.fileno() == -1
        while not ended:
            if self.pending and not self.peer_has_ended:
                self.let_out(65536)
            elif (
                not self.peer_has_closed and not self.peer_has_ended and not self.closing and not by_transport
            ):
                await self.step("peer closes")
            elif self.closing and not self.peer_has_closed and not self.peer_has_ended:
                # Answer the close_notify; nothing is left to be said.
                await self.step("peer closes")
            elif self.rough and self.peer_has_closed and not self.peer_has_ended:
                # A length that was changed has the transport wait for what never comes.
                await self.step("peer breaks off")
            elif by_transport and not self.closing and self.heard == self.encrypted:
                self.step_of_program("close")
            ended = self.peer_reads(MOST)
            if not ended:
                await self.asyncio.sleep(0)
            if not self.closing:
                self.transport.resume_reading()
        exc = await self.lost
        self.peer.close()
        await self.asyncio.sleep(0)
        self.check(exc)

    def check(self, exc):
        assert self.reported == [], self.reported
        assert self.calls[0] == "made" and self.calls[-1] == "lost", self.calls
        assert self.sock.fileno() == -1
        if exc is not None:
            assert isinstance(exc, (ssl.SSLError, ConnectionError, TimeoutError)), exc
        if self.closing and self.heard < self.encrypted and exc is not None:
            # Data that comes after the close_notify ends the connection with an SSLError, on asyncio too, whatever is
            # still to be sent.
            self.rough = True
        if not self.rough:
            assert self.read == self.written, f"the peer has {self.read} of {self.written} bytes"
            if not self.closing:
                assert self.heard == self.encrypted, (
                    f"the protocol has {self.heard} of {self.encrypted} bytes"
                )
            assert exc is None or self.closing, exc
        # All of it is records, whatever has happened; the last one may have been cut by an abort or a reset.
        try:
            records(self.peer.on_the_wire)
        except ValueError as error:
            assert "the last record lacks" in str(error)
            assert self.rough


async def play(asyncio, script):
    """Play a script from the handshake to the end of the connection."""
    side, version, before, end, after = script
    playing = Play(asyncio, side, version)
    await playing.connect()
    for step in (*before, end, *after):
        await playing.step(*step)
    await playing.finish(by_transport=len(before) % 2 == 0)
