"""TLS over a transport; native."""

from ._lazy import attributes
from ._native import SSLProtocol, _SSLProtocolTransport

__all__ = ()

__getattr__ = attributes(
    __name__,
    "logger",
    "collections",
    "constants",
    "enum",
    "exceptions",
    "protocols",
    "ssl",
    "transports",
    "warnings",
)
