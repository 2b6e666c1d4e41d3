"""The loop that waits for readiness, and its transports, as classes for isinstance and for deriving.

The extension fetches the transport classes here when it opens its first connection.
"""

from . import transports
from ._lazy import attributes
from ._native import _DatagramTransport, _rebind_methods, _StreamTransport
from .base_events import BaseEventLoop

__all__ = ("BaseSelectorEventLoop",)

__getattr__ = attributes(
    __name__,
    "logger",
    "collections",
    "constants",
    "errno",
    "events",
    "functools",
    "futures",
    "itertools",
    "os",
    "protocols",
    "selectors",
    "socket",
    "ssl",
    "sslproto",
    "trsock",
    "warnings",
    "weakref",
)

# `writelines()` of a socket transport goes through one system call here as it does where sockets have `sendmsg()`.
_HAS_SENDMSG = True


class BaseSelectorEventLoop(BaseEventLoop):
    """An event loop over the kernel's readiness notification.

    selector: a `selectors` object to wait with instead of the native driver, or None.
    """

    def __init__(self, selector=None):
        super().__init__(selector)


class _SelectorTransport(_StreamTransport, transports._FlowControlMixin):
    """A transport over a socket."""


class _SelectorSocketTransport(_SelectorTransport):
    """A transport over a stream socket."""


_rebind_methods(_SelectorSocketTransport)


class _SelectorDatagramTransport(
    _DatagramTransport, transports._FlowControlMixin, transports.DatagramTransport
):
    """A transport over a datagram socket."""
