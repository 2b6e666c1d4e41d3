"""Task, and everything that is made of tasks: gather, wait, wait_for, as_completed, shield, sleep; all native."""

from collections.abc import MutableMapping, MutableSet

from ._lazy import attributes
from ._native import (
    Future,
    Task,
    _AsCompletedIterator,
    _cancel_and_wait,
    _CurrentTasks,
    _enter_task,
    _GatheringFuture,
    _leave_task,
    _register_eager_task,
    _register_task,
    _release_waiter,
    _ScheduledTasks,
    _sleep0,
    _swap_current_task,
    _task_name_counter,
    _unregister_eager_task,
    _unregister_task,
    _wait,
    all_tasks,
    as_completed,
    create_eager_task_factory,
    create_task,
    current_task,
    eager_task_factory,
    ensure_future,
    gather,
    run_coroutine_threadsafe,
    shield,
    sleep,
    wait,
    wait_for,
)

__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Task",
    "_enter_task",
    "_leave_task",
    "_register_task",
    "_unregister_task",
    "all_tasks",
    "as_completed",
    "create_eager_task_factory",
    "create_task",
    "current_task",
    "eager_task_factory",
    "ensure_future",
    "gather",
    "run_coroutine_threadsafe",
    "shield",
    "sleep",
    "wait",
    "wait_for",
)

__getattr__ = attributes(
    __name__,
    "base_tasks",
    "concurrent",
    "contextvars",
    "coroutines",
    "events",
    "exceptions",
    "functools",
    "futures",
    "inspect",
    "itertools",
    "math",
    "queues",
    "timeouts",
    "types",
    "weakref",
)

# Equal to those of concurrent.futures, which is not imported for three strings.
FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"

# What sleep(0) awaits.
__sleep0 = _sleep0


class _CurrentTasksByLoop(_CurrentTasks, MutableMapping):
    """The current task by loop, as asyncio's dict of them; all it does is in the extension."""


_current_tasks = _CurrentTasksByLoop()


class _AllScheduledTasks(_ScheduledTasks, MutableSet):
    """The tasks of all loops, as asyncio's WeakSet of them; all it does is in the extension."""


# 3.11 calls it _all_tasks.
_scheduled_tasks = _all_tasks = _AllScheduledTasks()

# CPython has each of these twice, in C and in Python, and its tests ask for both.
_CTask = _PyTask = Task
_c_all_tasks = _py_all_tasks = all_tasks
_c_current_task = _py_current_task = current_task
_c_enter_task = _py_enter_task = _enter_task
_c_leave_task = _py_leave_task = _leave_task
_c_register_task = _py_register_task = _register_task
_c_register_eager_task = _py_register_eager_task = _register_eager_task
_c_swap_current_task = _py_swap_current_task = _swap_current_task
_c_unregister_task = _py_unregister_task = _unregister_task
_c_unregister_eager_task = _py_unregister_eager_task = _unregister_eager_task
