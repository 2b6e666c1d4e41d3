"""StreamReader, StreamWriter and the functions that open and serve streams; native."""

from ._lazy import attributes
from ._native import (
    FlowControlMixin,
    StreamReader,
    StreamReaderProtocol,
    StreamWriter,
    open_connection,
    open_unix_connection,
    start_server,
    start_unix_server,
)

__all__ = (
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
)

__getattr__ = attributes(__name__, "logger")

_DEFAULT_LIMIT = 2**16  # bytes that a reader buffers before its transport is paused
