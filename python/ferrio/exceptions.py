"""asyncio's exception classes; the very same objects as stock asyncio's where that is in the process (`_family`).

Those of `queues` are defined here too, because the extension looks for every class in this one module.
"""

import sys

from ._family import one_family

__all__ = (
    "BrokenBarrierError",
    "CancelledError",
    "IncompleteReadError",
    "InvalidStateError",
    "LimitOverrunError",
    "SendfileNotAvailableError",
    "TimeoutError",
)

TimeoutError = TimeoutError  # since 3.11 the builtin one


class CancelledError(BaseException):
    """The future or task was cancelled.

    A BaseException, so that `except Exception` does not swallow a cancellation.
    """


class InvalidStateError(Exception):
    """The future is not in a state that allows this: no result yet, or one already."""


class SendfileNotAvailableError(RuntimeError):
    """The kernel cannot send this file through this socket without copying, and no fallback was allowed."""


class IncompleteReadError(EOFError):
    """The stream ended before the read was complete.

    partial: the bytes that came before the end.
    expected: how many bytes were asked for, or None if that is not known (a read up to a separator).
    """

    def __init__(self, partial, expected):
        wanted = "undefined" if expected is None else repr(expected)
        super().__init__(f"{len(partial)} bytes read on a total of {wanted} expected bytes")
        self.partial = partial
        self.expected = expected

    def __reduce__(self):
        return type(self), (self.partial, self.expected)


class LimitOverrunError(Exception):
    """The buffer limit was reached before the separator was found.

    consumed: how many bytes of the buffer can be consumed without missing a separator.
    """

    def __init__(self, message, consumed):
        super().__init__(message)
        self.consumed = consumed

    def __reduce__(self):
        return type(self), (self.args[0], self.consumed)


class BrokenBarrierError(RuntimeError):
    """The barrier was aborted, or reset, while tasks were waiting at it; since asyncio 3.11."""


class QueueEmpty(Exception):
    """`Queue.get_nowait()` found nothing."""


class QueueFull(Exception):
    """`Queue.put_nowait()` found no room."""


class QueueShutDown(Exception):
    """The queue has been shut down; since asyncio 3.13."""


one_family("asyncio.exceptions", globals(), [name for name in __all__ if name != "TimeoutError"])
# Before 3.13 stock has no QueueShutDown, and pickle has to find it where it is: here.
_stock_queues = ["QueueEmpty", "QueueFull"] + ["QueueShutDown"] * (sys.version_info >= (3, 13))
one_family("asyncio.queues", globals(), _stock_queues)
