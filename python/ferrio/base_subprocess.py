"""The transport of a subprocess and the protocols of its pipes; native."""

from ._lazy import attributes
from ._native import _BaseSubprocessTransport, _subprocess_protocols
from .protocols import BaseProtocol, Protocol, SubprocessProtocol
from .transports import SubprocessTransport

__all__ = ()

__getattr__ = attributes(
    __name__,
    "collections",
    "os",
    "protocols",
    "signal",
    "subprocess",
    "sys",
    "transports",
    "warnings",
    "logger",
)

# Made here and not with the extension, because they derive from classes that are written in Python.
_SubprocessStreamProtocol, WriteSubprocessPipeProto, ReadSubprocessPipeProto = _subprocess_protocols(
    BaseProtocol, Protocol, SubprocessProtocol
)


class BaseSubprocessTransport(_BaseSubprocessTransport, SubprocessTransport):
    """A transport of a child process, without the part that starts it."""
