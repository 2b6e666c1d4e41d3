"""The transport of a subprocess and the protocols of its pipes; native."""

from ._lazy import attributes
from ._native import BaseSubprocessTransport, ReadSubprocessPipeProto, WriteSubprocessPipeProto

__all__ = ()

__getattr__ = attributes(
    __name__, "collections", "os", "protocols", "signal", "subprocess", "sys", "transports", "warnings"
)
