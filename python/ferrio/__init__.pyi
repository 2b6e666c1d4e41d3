"""Types of ferrio: those of asyncio, so that a `ferrio.Task` passes where a library says `asyncio.Task`.

What asyncio has only from a later Python on is in `_newer.pyi`.
"""

import sys
from asyncio import (
    ALL_COMPLETED as ALL_COMPLETED,
)
from asyncio import (
    FIRST_COMPLETED as FIRST_COMPLETED,
)
from asyncio import (
    FIRST_EXCEPTION as FIRST_EXCEPTION,
)
from asyncio import (
    AbstractEventLoop as AbstractEventLoop,
)
from asyncio import (
    AbstractServer as AbstractServer,
)
from asyncio import (
    Barrier as Barrier,
)
from asyncio import (
    BaseEventLoop as BaseEventLoop,
)
from asyncio import (
    BaseProtocol as BaseProtocol,
)
from asyncio import (
    BaseTransport as BaseTransport,
)
from asyncio import (
    BoundedSemaphore as BoundedSemaphore,
)
from asyncio import (
    BrokenBarrierError as BrokenBarrierError,
)
from asyncio import (
    BufferedProtocol as BufferedProtocol,
)
from asyncio import (
    CancelledError as CancelledError,
)
from asyncio import (
    Condition as Condition,
)
from asyncio import (
    DatagramProtocol as DatagramProtocol,
)
from asyncio import (
    DatagramTransport as DatagramTransport,
)
from asyncio import (
    Event as Event,
)
from asyncio import (
    Future as Future,
)
from asyncio import (
    Handle as Handle,
)
from asyncio import (
    IncompleteReadError as IncompleteReadError,
)
from asyncio import (
    InvalidStateError as InvalidStateError,
)
from asyncio import (
    LimitOverrunError as LimitOverrunError,
)
from asyncio import (
    Lock as Lock,
)
from asyncio import (
    Protocol as Protocol,
)
from asyncio import (
    QueueEmpty as QueueEmpty,
)
from asyncio import (
    QueueFull as QueueFull,
)
from asyncio import (
    ReadTransport as ReadTransport,
)
from asyncio import (
    Runner as Runner,
)
from asyncio import (
    SelectorEventLoop as SelectorEventLoop,
)
from asyncio import (
    Semaphore as Semaphore,
)
from asyncio import (
    SendfileNotAvailableError as SendfileNotAvailableError,
)
from asyncio import (
    Server as Server,
)
from asyncio import (
    StreamReader as StreamReader,
)
from asyncio import (
    StreamReaderProtocol as StreamReaderProtocol,
)
from asyncio import (
    StreamWriter as StreamWriter,
)
from asyncio import (
    SubprocessProtocol as SubprocessProtocol,
)
from asyncio import (
    SubprocessTransport as SubprocessTransport,
)
from asyncio import (
    Task as Task,
)
from asyncio import (
    Timeout as Timeout,
)
from asyncio import (
    TimeoutError as TimeoutError,
)
from asyncio import (
    TimerHandle as TimerHandle,
)
from asyncio import (
    Transport as Transport,
)
from asyncio import (
    WriteTransport as WriteTransport,
)
from asyncio import (
    _enter_task as _enter_task,
)
from asyncio import (
    _get_running_loop as _get_running_loop,
)
from asyncio import (
    _leave_task as _leave_task,
)
from asyncio import (
    _register_task as _register_task,
)
from asyncio import (
    _set_running_loop as _set_running_loop,
)
from asyncio import (
    _unregister_task as _unregister_task,
)
from asyncio import (
    all_tasks as all_tasks,
)
from asyncio import (
    as_completed as as_completed,
)
from asyncio import (
    create_subprocess_exec as create_subprocess_exec,
)
from asyncio import (
    create_subprocess_shell as create_subprocess_shell,
)
from asyncio import (
    create_task as create_task,
)
from asyncio import (
    current_task as current_task,
)
from asyncio import (
    ensure_future as ensure_future,
)
from asyncio import (
    gather as gather,
)
from asyncio import (
    get_event_loop as get_event_loop,
)
from asyncio import (
    get_event_loop_policy as get_event_loop_policy,
)
from asyncio import (
    get_running_loop as get_running_loop,
)
from asyncio import (
    iscoroutine as iscoroutine,
)
from asyncio import (
    iscoroutinefunction as iscoroutinefunction,
)
from asyncio import (
    isfuture as isfuture,
)
from asyncio import (
    new_event_loop as new_event_loop,
)
from asyncio import (
    open_connection as open_connection,
)
from asyncio import (
    open_unix_connection as open_unix_connection,
)
from asyncio import (
    run as run,
)
from asyncio import (
    run_coroutine_threadsafe as run_coroutine_threadsafe,
)
from asyncio import (
    set_event_loop as set_event_loop,
)
from asyncio import (
    set_event_loop_policy as set_event_loop_policy,
)
from asyncio import (
    shield as shield,
)
from asyncio import (
    sleep as sleep,
)
from asyncio import (
    start_server as start_server,
)
from asyncio import (
    start_unix_server as start_unix_server,
)
from asyncio import (
    timeout as timeout,
)
from asyncio import (
    timeout_at as timeout_at,
)
from asyncio import (
    to_thread as to_thread,
)
from asyncio import (
    wait as wait,
)
from asyncio import (
    wait_for as wait_for,
)
from asyncio import (
    wrap_future as wrap_future,
)

if sys.version_info < (3, 14):
    from asyncio import (
        AbstractChildWatcher as AbstractChildWatcher,
    )
    from asyncio import (
        AbstractEventLoopPolicy as AbstractEventLoopPolicy,
    )
    from asyncio import (
        DefaultEventLoopPolicy as DefaultEventLoopPolicy,
    )
    from asyncio import (
        FastChildWatcher as FastChildWatcher,
    )
    from asyncio import (
        MultiLoopChildWatcher as MultiLoopChildWatcher,
    )
    from asyncio import (
        PidfdChildWatcher as PidfdChildWatcher,
    )
    from asyncio import (
        SafeChildWatcher as SafeChildWatcher,
    )
    from asyncio import (
        ThreadedChildWatcher as ThreadedChildWatcher,
    )
    from asyncio import (
        get_child_watcher as get_child_watcher,
    )
    from asyncio import (
        set_child_watcher as set_child_watcher,
    )

if sys.version_info >= (3, 13):
    from asyncio import (
        EventLoop as EventLoop,
    )
    from asyncio import (
        LifoQueue as LifoQueue,
    )
    from asyncio import (
        PriorityQueue as PriorityQueue,
    )
    from asyncio import (
        Queue as Queue,
    )
    from asyncio import (
        QueueShutDown as QueueShutDown,
    )

if sys.version_info >= (3, 14):
    from asyncio import (
        FrameCallGraphEntry as FrameCallGraphEntry,
    )
    from asyncio import (
        FutureCallGraph as FutureCallGraph,
    )
    from asyncio import (
        capture_call_graph as capture_call_graph,
    )
    from asyncio import (
        format_call_graph as format_call_graph,
    )
    from asyncio import (
        future_add_to_awaited_by as future_add_to_awaited_by,
    )
    from asyncio import (
        future_discard_from_awaited_by as future_discard_from_awaited_by,
    )
    from asyncio import (
        print_call_graph as print_call_graph,
    )

if sys.version_info >= (3, 12):
    from asyncio import (
        create_eager_task_factory as create_eager_task_factory,
    )
    from asyncio import (
        eager_task_factory as eager_task_factory,
    )

from ._newer import TaskGroup as TaskGroup

if sys.version_info < (3, 13):
    from ._newer import EventLoop as EventLoop
    from ._newer import LifoQueue as LifoQueue
    from ._newer import PriorityQueue as PriorityQueue
    from ._newer import Queue as Queue
    from ._newer import QueueShutDown as QueueShutDown

if sys.version_info < (3, 12):
    from ._newer import create_eager_task_factory as create_eager_task_factory
    from ._newer import eager_task_factory as eager_task_factory

if sys.version_info < (3, 14):
    from ._newer import FrameCallGraphEntry as FrameCallGraphEntry
    from ._newer import FutureCallGraph as FutureCallGraph
    from ._newer import capture_call_graph as capture_call_graph
    from ._newer import format_call_graph as format_call_graph
    from ._newer import future_add_to_awaited_by as future_add_to_awaited_by
    from ._newer import future_discard_from_awaited_by as future_discard_from_awaited_by
    from ._newer import print_call_graph as print_call_graph

from . import (
    base_events as base_events,
)
from . import (
    base_futures as base_futures,
)
from . import (
    base_subprocess as base_subprocess,
)
from . import (
    base_tasks as base_tasks,
)
from . import (
    constants as constants,
)
from . import (
    coroutines as coroutines,
)
from . import (
    events as events,
)
from . import (
    exceptions as exceptions,
)
from . import (
    extras as extras,
)
from . import (
    files as files,
)
from . import (
    format_helpers as format_helpers,
)
from . import (
    futures as futures,
)
from . import (
    graph as graph,
)
from . import (
    legacy as legacy,
)
from . import (
    locks as locks,
)
from . import (
    log as log,
)
from . import (
    mixins as mixins,
)
from . import (
    protocols as protocols,
)
from . import (
    queues as queues,
)
from . import (
    runners as runners,
)
from . import (
    selector_events as selector_events,
)
from . import (
    sslproto as sslproto,
)
from . import (
    staggered as staggered,
)
from . import (
    streams as streams,
)
from . import (
    subprocess as subprocess,
)
from . import (
    taskgroups as taskgroups,
)
from . import (
    tasks as tasks,
)
from . import (
    threads as threads,
)
from . import (
    timeouts as timeouts,
)
from . import (
    transports as transports,
)
from . import (
    trsock as trsock,
)
from . import (
    unix_events as unix_events,
)
from .install import install as install
from .install import install_as_asyncio as install_as_asyncio
from .install import uninstall as uninstall

__version__: str
