"""StreamReader, StreamWriter and the functions that open and serve streams; native."""

from ._lazy import attributes
from ._native import (
    StreamReader,
    StreamWriter,
    _stream_protocols,
    open_connection,
    open_unix_connection,
    sleep,
    start_server,
    start_unix_server,
)
from .protocols import Protocol

__all__ = (
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
)

# Made here and not with the extension, because they derive from a class that is written in Python.
FlowControlMixin, StreamReaderProtocol = _stream_protocols(Protocol)

__getattr__ = attributes(
    __name__,
    "logger",
    "collections",
    "coroutines",
    "events",
    "exceptions",
    "format_helpers",
    "protocols",
    "socket",
    "sys",
    "warnings",
    "weakref",
)

_DEFAULT_LIMIT = 2**16  # bytes that a reader buffers before its transport is paused
