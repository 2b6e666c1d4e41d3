"""The abstract protocols: what a transport calls, with defaults that do nothing.

They are the same classes as stock asyncio's (`_family`): a loop tells a BufferedProtocol by isinstance.
"""

from ._family import one_family
from ._native import _feed_data_to_buffered_proto

__all__ = ("BaseProtocol", "BufferedProtocol", "DatagramProtocol", "Protocol", "SubprocessProtocol")


class BaseProtocol:
    """What every protocol has."""

    __slots__ = ()

    def connection_made(self, transport):
        """Called once, with the transport, when the connection is there."""

    def connection_lost(self, exc):
        """Called once, last, when the connection is gone; *exc* is None after an end or an abort of ours."""

    def pause_writing(self):
        """Called when the transport's buffer goes over its high-water mark."""

    def resume_writing(self):
        """Called when the transport's buffer drains to its low-water mark."""


class Protocol(BaseProtocol):
    """A protocol over a stream of bytes: connection_made, data_received*, eof_received?, connection_lost."""

    __slots__ = ()

    def data_received(self, data):
        """Called with a non-empty bytes object as it arrives."""

    def eof_received(self):
        """Called when the other end will send no more; a true result keeps our end open."""


class BufferedProtocol(BaseProtocol):
    """A protocol that has the bytes received straight into its own buffer; since asyncio 3.7."""

    __slots__ = ()

    def get_buffer(self, sizehint):
        """Return a writable, non-empty buffer for the next bytes; *sizehint* is -1 or a recommended size."""

    def buffer_updated(self, nbytes):
        """Called when *nbytes* bytes have been put into the buffer."""

    def eof_received(self):
        """Called when the other end will send no more; a true result keeps our end open."""


class DatagramProtocol(BaseProtocol):
    """A protocol over datagrams."""

    __slots__ = ()

    def datagram_received(self, data, addr):
        """Called with a datagram and where it came from."""

    def error_received(self, exc):
        """Called with an OSError of an earlier send or receive; the endpoint stays open."""


class SubprocessProtocol(BaseProtocol):
    """A protocol over the pipes of a child process."""

    __slots__ = ()

    def pipe_data_received(self, fd, data):
        """Called with what the child wrote to its stdout (1) or stderr (2)."""

    def pipe_connection_lost(self, fd, exc):
        """Called when one of the pipes has been closed."""

    def process_exited(self):
        """Called when the child has ended."""


one_family("asyncio.protocols", globals(), __all__)
