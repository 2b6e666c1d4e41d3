"""TransportSocket, the socket as a transport shows it; native."""

from ._lazy import attributes
from ._native import TransportSocket

__all__ = ()

__getattr__ = attributes(__name__, "socket")
