"""TLS over a transport, as classes for isinstance and for deriving; all they do is in the extension.

The extension fetches the classes here when it opens its first connection with TLS, and so imports this file.
"""

from . import protocols, transports
from ._lazy import attributes
from ._native import _create_transport_context, _SSLProtocol, _SSLTransport, add_flowcontrol_defaults

__all__ = ()

__getattr__ = attributes(
    __name__,
    "logger",
    "collections",
    "constants",
    "enum",
    "exceptions",
    "ssl",
    "warnings",
    later={
        "AppProtocolState": "_tls_states",
        "SSLAgainErrors": "_tls_states",
        "SSLProtocolState": "_tls_states",
    },
)


class SSLProtocol(_SSLProtocol, protocols.BufferedProtocol):
    """TLS between a transport and a protocol; itself the protocol of that transport."""


class _SSLProtocolTransport(_SSLTransport, transports._FlowControlMixin, transports.Transport):
    """The transport of a protocol that talks TLS."""
