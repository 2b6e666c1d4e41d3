"""The event loop of Unix and its policy, under asyncio's names."""

import os
import sys

from . import transports
from ._lazy import attributes
from ._native import _ReadPipeTransport, _rebind_methods, _WritePipeTransport
from ._native import _UnixSubprocessTransport as _NativeSubprocessTransport
from .base_subprocess import BaseSubprocessTransport
from .events import _BaseDefaultEventLoopPolicy
from .selector_events import BaseSelectorEventLoop

__all__ = ("EventLoop", "SelectorEventLoop")


__getattr__ = attributes(
    __name__,
    "logger",
    "base_subprocess",
    "constants",
    "coroutines",
    "errno",
    "exceptions",
    "fcntl",
    "futures",
    "io",
    "itertools",
    "selectors",
    "signal",
    "socket",
    "stat",
    "subprocess",
    "tasks",
    "threading",
    "warnings",
)


class _UnixReadPipeTransport(_ReadPipeTransport, transports.ReadTransport):
    """A transport that reads from a pipe."""


class _UnixWritePipeTransport(_WritePipeTransport, transports._FlowControlMixin, transports.WriteTransport):
    """A transport that writes to a pipe."""


class _UnixSubprocessTransport(_NativeSubprocessTransport, BaseSubprocessTransport):
    """A transport of a child process, started as `subprocess.Popen` starts it."""


class _UnixSelectorEventLoop(BaseSelectorEventLoop):
    """The event loop: sockets, pipes, subprocesses and signals.

    selector: a `selectors` object to wait with instead of the native driver, or None.
    """


_rebind_methods(_UnixSelectorEventLoop)
SelectorEventLoop = EventLoop = _UnixSelectorEventLoop


def can_use_pidfd():
    """Return True if the kernel lets this process open pidfds (a seccomp filter may not)."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid(), 0))
    except OSError:
        return False
    return True


if sys.version_info >= (3, 14):

    class _UnixDefaultEventLoopPolicy(_BaseDefaultEventLoopPolicy):
        """The default policy; its loop is `EventLoop`."""

        _loop_factory = _UnixSelectorEventLoop

else:
    from ._child_watchers import (
        AbstractChildWatcher,
        BaseChildWatcher,
        FastChildWatcher,
        MultiLoopChildWatcher,
        PidfdChildWatcher,
        SafeChildWatcher,
        ThreadedChildWatcher,
        WatcherPolicy,
    )

    class _UnixDefaultEventLoopPolicy(WatcherPolicy, _BaseDefaultEventLoopPolicy):
        """The default policy; its loop is `EventLoop`."""

        _loop_factory = _UnixSelectorEventLoop

    __all__ += (
        "AbstractChildWatcher",
        "DefaultEventLoopPolicy",
        "FastChildWatcher",
        "MultiLoopChildWatcher",
        "PidfdChildWatcher",
        "SafeChildWatcher",
        "ThreadedChildWatcher",
    )

_DefaultEventLoopPolicy = DefaultEventLoopPolicy = _UnixDefaultEventLoopPolicy


class EventLoopPolicy(_UnixDefaultEventLoopPolicy):
    """A policy whose loops are ferrio's: `asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())`.

    For programs that keep stock asyncio and change only the loop.
    """
