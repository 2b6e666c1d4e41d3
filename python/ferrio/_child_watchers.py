"""The child watchers that asyncio had until Python 3.13, and the two policy methods about them.

ferrio's loop learns of the end of its children from the kernel, whatever watcher is set, so these are names.  What a
program gives to one of them (`add_child_handler`) is watched in the same way.  A watcher of the program's own is used.
"""

import sys

from ._native import _ChildWatcher


def _deprecated(name):
    """Say, from Python 3.12 on, that *name* goes away; points at the caller of our caller."""
    if sys.version_info >= (3, 12):
        import warnings

        message = f"{name!r} is deprecated as of Python 3.12 and will be removed in Python 3.14."
        warnings.warn(message, DeprecationWarning, stacklevel=3)


class AbstractChildWatcher:
    """What a watcher for child processes has to offer; deprecated since Python 3.12, gone in 3.14."""

    def __init_subclass__(cls):
        if cls.__module__ != __name__:
            _deprecated("AbstractChildWatcher")

    def add_child_handler(self, pid, callback, *args):
        """Call `callback(pid, returncode, *args)` when the process ends."""
        raise NotImplementedError

    def remove_child_handler(self, pid):
        """Forget a process; returns True if it was watched."""
        raise NotImplementedError

    def attach_loop(self, loop):
        """Make *loop*, or None, the one that reports the end of processes."""
        raise NotImplementedError

    def close(self):
        """Release what the watcher holds."""
        raise NotImplementedError

    def is_active(self):
        """Return True if processes can be started under this watcher."""
        raise NotImplementedError

    def __enter__(self):
        raise NotImplementedError

    def __exit__(self, *exc):
        raise NotImplementedError


class _NamedWatcher(_ChildWatcher, AbstractChildWatcher):
    """A watcher whose children the loop watches as it does its own."""


class PidfdChildWatcher(_NamedWatcher):
    """The watcher over pidfds."""


class ThreadedChildWatcher(_NamedWatcher):
    """The watcher with a thread for each process."""


class BaseChildWatcher(_NamedWatcher):
    """Base of the two that handle SIGCHLD through one loop."""


class SafeChildWatcher(BaseChildWatcher):
    """The watcher that polls its own processes on SIGCHLD; deprecated since Python 3.12."""

    def __init__(self):
        super().__init__()
        _deprecated("SafeChildWatcher")


class FastChildWatcher(BaseChildWatcher):
    """The watcher that reaps every process on SIGCHLD; deprecated since Python 3.12."""

    def __init__(self):
        super().__init__()
        _deprecated("FastChildWatcher")


class MultiLoopChildWatcher(_NamedWatcher):
    """The watcher for several loops on SIGCHLD; deprecated since Python 3.12."""

    def __init__(self):
        super().__init__()
        _deprecated("MultiLoopChildWatcher")


class WatcherPolicy:
    """The part of the default policy that has a watcher."""

    def __init__(self):
        super().__init__()
        self._watcher = None

    def set_event_loop(self, loop):
        """Make *loop* this thread's; in the main thread the watcher is attached to it."""
        super().set_event_loop(loop)
        if self._watcher is not None:
            import threading

            if threading.current_thread() is threading.main_thread():
                self._watcher.attach_loop(loop)

    def get_child_watcher(self):
        """Return the watcher, making one the first time; deprecated since Python 3.12."""
        if self._watcher is None:
            from .unix_events import can_use_pidfd

            pidfd = sys.version_info >= (3, 12) and can_use_pidfd()
            self._watcher = PidfdChildWatcher() if pidfd else ThreadedChildWatcher()
        _deprecated("get_child_watcher")
        return self._watcher

    def set_child_watcher(self, watcher):
        """Set the watcher, closing the one before; deprecated since Python 3.12."""
        if watcher is not None and not isinstance(watcher, AbstractChildWatcher):
            raise AssertionError("watcher must be an AbstractChildWatcher or None")
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = watcher
        _deprecated("set_child_watcher")
