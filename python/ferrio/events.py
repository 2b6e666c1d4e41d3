"""Event loops as asyncio sees them: the abstract classes, the handles, which loop is running and which is current.

The handles and the running loop are native.  The policy stays in Python: it is a module global that programs and test
runners read and replace (`events._event_loop_policy`), and it holds a class that they subclass.  The native
`get_event_loop()` answers with the running loop, or asks `_get_event_loop_policy()` here.
"""

import os
import sys
from _thread import _local, allocate_lock

from ._abstract import AbstractEventLoop, AbstractEventLoopPolicy, AbstractServer, _AbstractEventLoopPolicy
from ._lazy import attributes
from ._native import (
    Handle,
    TimerHandle,
    _get_running_loop,
    _RunningLoop,
    _set_running_loop,
    _ThreadSafeHandle,
    get_event_loop,
    get_running_loop,
)

__all__ = (
    "AbstractEventLoop",
    "AbstractServer",
    "Handle",
    "TimerHandle",
    "_get_running_loop",
    "_set_running_loop",
    "get_event_loop",
    "get_event_loop_policy",
    "get_running_loop",
    "new_event_loop",
    "set_event_loop",
    "set_event_loop_policy",
)

__getattr__ = attributes(
    __name__, "contextvars", "format_helpers", "signal", "socket", "subprocess", "threading", "warnings"
)


class _BaseDefaultEventLoopPolicy(_AbstractEventLoopPolicy):
    """A current loop for each thread.

    To Python 3.13 the main thread gets one by itself (with a DeprecationWarning since 3.12); everywhere else, and
    since 3.14 in every thread, it has to be set.
    """

    _loop_factory = None

    class _Local(_local):
        _loop = None
        _set_called = False

    def __init__(self):
        self._local = self._Local()

    def get_event_loop(self):
        """Return this thread's loop.

        Raises RuntimeError if there is none.
        """
        if self._local._loop is None:
            import threading

            thread = threading.current_thread()
            if (
                sys.version_info < (3, 14)
                and not self._local._set_called
                and thread is threading.main_thread()
            ):
                if sys.version_info >= (3, 12):
                    _warn_no_current_loop()
                self.set_event_loop(self.new_event_loop())
            if self._local._loop is None:
                raise RuntimeError(f"There is no current event loop in thread {thread.name!r}.")
        return self._local._loop

    def set_event_loop(self, loop):
        """Make *loop* this thread's; None takes it away.

        Raises TypeError if it is not an AbstractEventLoop.
        """
        self._local._set_called = True
        if loop is not None and not isinstance(loop, AbstractEventLoop):
            raise TypeError(
                f"loop must be an instance of AbstractEventLoop or None, not '{type(loop).__name__}'"
            )
        self._local._loop = loop

    def new_event_loop(self):
        """Return a new loop, which does not become this thread's."""
        return self._loop_factory()


BaseDefaultEventLoopPolicy = _BaseDefaultEventLoopPolicy
if sys.version_info < (3, 14):
    _BaseDefaultEventLoopPolicy.__name__ = _BaseDefaultEventLoopPolicy.__qualname__ = (
        "BaseDefaultEventLoopPolicy"
    )

_event_loop_policy = None
_lock = allocate_lock()


def _warn_no_current_loop():
    """Warn as if from the line that asked for the loop, however deep inside asyncio the question came up."""
    import warnings

    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (
        "asyncio",
        "ferrio",
    ):
        frame = frame.f_back
        level += 1
    warnings.warn("There is no current event loop", DeprecationWarning, stacklevel=level)


def _get_event_loop_policy():
    global _event_loop_policy
    if _event_loop_policy is None:
        # Imported before the lock is taken: unix_events needs this module, and may be just now loading elsewhere.
        from .unix_events import _DefaultEventLoopPolicy

        with _lock:
            if _event_loop_policy is None:
                _event_loop_policy = _DefaultEventLoopPolicy()
    return _event_loop_policy


def _set_event_loop_policy(policy):
    global _event_loop_policy
    if policy is not None and not isinstance(policy, AbstractEventLoopPolicy):
        raise TypeError(
            f"policy must be an instance of AbstractEventLoopPolicy or None, not '{type(policy).__name__}'"
        )
    _event_loop_policy = policy


def get_event_loop_policy():
    """Return the policy; deprecated since Python 3.14."""
    if sys.version_info >= (3, 14):
        import warnings

        warnings._deprecated("asyncio.get_event_loop_policy", remove=(3, 16))
    return _get_event_loop_policy()


def set_event_loop_policy(policy):
    """Set the policy, None for the default one; deprecated since Python 3.14.

    Raises TypeError if it is not an AbstractEventLoopPolicy.
    """
    if sys.version_info >= (3, 14):
        import warnings

        warnings._deprecated("asyncio.set_event_loop_policy", remove=(3, 16))
    _set_event_loop_policy(policy)


def set_event_loop(loop):
    """Make *loop* the current context's, as the policy defines it."""
    _get_event_loop_policy().set_event_loop(loop)


def new_event_loop():
    """Return a new loop of the policy's making."""
    return _get_event_loop_policy().new_event_loop()


if sys.version_info < (3, 14):
    __all__ += ("AbstractEventLoopPolicy", "get_child_watcher", "set_child_watcher")

    def get_child_watcher():
        """Return the policy's watcher for child processes; gone in Python 3.14."""
        return _get_event_loop_policy().get_child_watcher()

    def set_child_watcher(watcher):
        """Set the policy's watcher for child processes; gone in Python 3.14."""
        return _get_event_loop_policy().set_child_watcher(watcher)


def _forget_loops():
    """A forked child has no current loop: it would share the parent's descriptors."""
    if _event_loop_policy is not None:
        _event_loop_policy._local = _BaseDefaultEventLoopPolicy._Local()


os.register_at_fork(after_in_child=_forget_loops)

_running_loop = _RunningLoop()

# CPython has each of these twice, in C and in Python, and its tests ask for both.
_c_get_event_loop = _py_get_event_loop = get_event_loop
_c_get_running_loop = _py_get_running_loop = get_running_loop
_c__get_running_loop = _py__get_running_loop = _get_running_loop
_c__set_running_loop = _py__set_running_loop = _set_running_loop
