"""TransportSocket, the socket as a transport shows it; native."""

from ._native import TransportSocket

__all__ = ()
