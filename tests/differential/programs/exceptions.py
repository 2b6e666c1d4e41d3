"""asyncio's exceptions: families, constructors, pickling."""

import asyncio
import concurrent.futures
import pickle

from observe import attempt_type, emit, scenario


@scenario
def families():
    for name in (
        "CancelledError",
        "TimeoutError",
        "InvalidStateError",
        "IncompleteReadError",
        "LimitOverrunError",
        "SendfileNotAvailableError",
        "BrokenBarrierError",
        "QueueEmpty",
        "QueueFull",
    ):
        cls = getattr(asyncio, name)
        emit(name, [base.__name__ for base in cls.__mro__])


@scenario
def identities():
    emit(asyncio.TimeoutError is TimeoutError, asyncio.CancelledError is asyncio.exceptions.CancelledError)
    emit(asyncio.CancelledError is concurrent.futures.CancelledError)
    emit(issubclass(asyncio.CancelledError, Exception), issubclass(asyncio.InvalidStateError, Exception))


@scenario
def incomplete_read():
    for expected in (10, None):
        exc = asyncio.IncompleteReadError(b"part", expected)
        emit(exc, exc.partial, exc.expected)
        copy = pickle.loads(pickle.dumps(exc))
        emit(copy, copy.partial, copy.expected)


@scenario
def limit_overrun():
    exc = asyncio.LimitOverrunError("message", 10)
    emit(exc, exc.consumed)
    copy = pickle.loads(pickle.dumps(exc))
    emit(copy, copy.consumed)


@scenario
def constructors():
    emit(asyncio.CancelledError(), asyncio.CancelledError("a", 1).args, asyncio.QueueEmpty("x"))
    attempt_type("IncompleteReadError", asyncio.IncompleteReadError)
    attempt_type("LimitOverrunError", asyncio.LimitOverrunError, "only a message")
