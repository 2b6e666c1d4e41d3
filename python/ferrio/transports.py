"""The abstract transports: what a protocol can ask of its connection.

None of them has `__slots__`, unlike asyncio's: `selector_events` derives its transports from these and from a native
class, and a slot here could not be laid out beside the native fields.
"""

from ._native import _extra_info, _own_method

__all__ = (
    "BaseTransport",
    "DatagramTransport",
    "ReadTransport",
    "SubprocessTransport",
    "Transport",
    "WriteTransport",
)


class BaseTransport:
    """What every transport has.

    extra: a dict of what `get_extra_info()` tells.
    """

    def __init__(self, extra=None):
        self._extra = {} if extra is None else extra

    def get_extra_info(self, name, default=None):
        """Return something about the connection ('socket', 'peername', 'sslcontext', ...), or *default*."""
        return _extra_info(self, name, default)

    def is_closing(self):
        """Return True if the transport is closed or about to be."""
        raise NotImplementedError

    def close(self):
        """Send what is buffered, then close; `connection_lost(None)` follows."""
        raise NotImplementedError

    def set_protocol(self, protocol):
        """Make another protocol the receiver of the calls."""
        raise NotImplementedError

    def get_protocol(self):
        """Return the protocol."""
        raise NotImplementedError


# The native transports look whether this is still what they inherit.
_own_method(BaseTransport.get_extra_info)


class ReadTransport(BaseTransport):
    """A transport that receives."""

    def is_reading(self):
        """Return True if data would be passed on now; since asyncio 3.7."""
        raise NotImplementedError

    def pause_reading(self):
        """Pass on no data until `resume_reading()`; no effect if paused or closing."""
        raise NotImplementedError

    def resume_reading(self):
        """Pass on data again; no effect if not paused."""
        raise NotImplementedError


class WriteTransport(BaseTransport):
    """A transport that sends."""

    def set_write_buffer_limits(self, high=None, low=None):
        """Set the marks, in bytes, at which the protocol is told to pause and to resume writing.

        Raises ValueError unless high >= low >= 0.
        """
        raise NotImplementedError

    def get_write_buffer_size(self):
        """Return the number of bytes that are buffered."""
        raise NotImplementedError

    def get_write_buffer_limits(self):
        """Return the marks as (low, high), in bytes; since asyncio 3.4.2."""
        raise NotImplementedError

    def write(self, data):
        """Send bytes; never blocks, and buffers what cannot be sent now."""
        raise NotImplementedError

    def writelines(self, list_of_data):
        """Send an iterable of bytes."""
        self.write(b"".join(list_of_data))

    def write_eof(self):
        """Close the sending side after what is buffered; data can still arrive."""
        raise NotImplementedError

    def can_write_eof(self):
        """Return True if `write_eof()` is possible."""
        raise NotImplementedError

    def abort(self):
        """Close at once, and drop what is buffered; `connection_lost(None)` follows."""
        raise NotImplementedError


class Transport(ReadTransport, WriteTransport):
    """A transport that does both."""


class DatagramTransport(BaseTransport):
    """A transport of datagrams."""

    def sendto(self, data, addr=None):
        """Send a datagram to *addr*, or to the address the endpoint is connected to."""
        raise NotImplementedError

    def abort(self):
        """Close at once, and drop what is buffered."""
        raise NotImplementedError


class SubprocessTransport(BaseTransport):
    """A child process."""

    def get_pid(self):
        """Return the process id."""
        raise NotImplementedError

    def get_returncode(self):
        """Return the exit status, negative for a signal, or None while the process runs."""
        raise NotImplementedError

    def get_pipe_transport(self, fd):
        """Return the transport of the pipe at descriptor 0, 1 or 2, or None."""
        raise NotImplementedError

    def send_signal(self, signal):
        """Send a signal."""
        raise NotImplementedError

    def terminate(self):
        """Send SIGTERM."""
        raise NotImplementedError

    def kill(self):
        """Send SIGKILL."""
        raise NotImplementedError


class _FlowControlMixin(Transport):
    """The write marks of a transport written in Python; the native transports keep theirs themselves."""

    def __init__(self, extra=None, loop=None):
        super().__init__(extra)
        self._loop = loop
        self._protocol_paused = False
        self._set_write_buffer_limits()

    def _maybe_pause_protocol(self):
        if not self._protocol_paused and self.get_write_buffer_size() > self._high_water:
            self._protocol_paused = True
            self._tell_protocol("pause_writing")

    def _maybe_resume_protocol(self):
        if self._protocol_paused and self.get_write_buffer_size() <= self._low_water:
            self._protocol_paused = False
            self._tell_protocol("resume_writing")

    def _tell_protocol(self, what):
        try:
            getattr(self._protocol, what)()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:  # noqa: BLE001 - what the protocol raises is reported, whatever it is
            self._loop.call_exception_handler(
                {
                    "message": f"protocol.{what}() failed",
                    "exception": exc,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )

    def get_write_buffer_limits(self):
        return (self._low_water, self._high_water)

    def _set_write_buffer_limits(self, high=None, low=None):
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high_water = high
        self._low_water = low

    def set_write_buffer_limits(self, high=None, low=None):
        self._set_write_buffer_limits(high, low)
        self._maybe_pause_protocol()

    def get_write_buffer_size(self):
        raise NotImplementedError
