"""What asyncio has only from a later Python on, and ferrio on every one.

A class derives from asyncio's where there is one.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol, TextIO, TypeVar, overload

from _typeshed import SupportsRichComparison

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_SupportsOrderT = TypeVar("_SupportsOrderT", bound=SupportsRichComparison)
_TaskT_co = TypeVar("_TaskT_co", bound=asyncio.Task[Any], covariant=True)

class TaskGroup(asyncio.TaskGroup):
    def cancel(self) -> None: ...

if sys.version_info < (3, 13):
    class QueueShutDown(Exception): ...

    class Queue(asyncio.Queue[_T]):
        def shutdown(self, immediate: bool = False) -> None: ...

    class PriorityQueue(asyncio.PriorityQueue[_SupportsOrderT], Queue[_SupportsOrderT]): ...
    class LifoQueue(asyncio.LifoQueue[_T], Queue[_T]): ...
    EventLoop = asyncio.SelectorEventLoop

if sys.version_info < (3, 12):
    class _CustomTaskConstructor(Protocol[_TaskT_co]):
        def __call__(
            self,
            coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
            /,
            *,
            loop: asyncio.AbstractEventLoop,
            name: str | None,
            context: Context | None,
            eager_start: bool,
        ) -> _TaskT_co: ...

    class _EagerTaskFactory(Protocol[_TaskT_co]):
        def __call__(
            self,
            loop: asyncio.AbstractEventLoop,
            coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
            *,
            name: str | None = None,
            context: Context | None = None,
        ) -> _TaskT_co: ...

    def create_eager_task_factory(
        custom_task_constructor: _CustomTaskConstructor[_TaskT_co],
    ) -> _EagerTaskFactory[_TaskT_co]: ...
    def eager_task_factory(
        loop: asyncio.AbstractEventLoop | None,
        coro: Coroutine[Any, Any, _T_co] | Generator[Any, None, _T_co],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[_T_co]: ...

if sys.version_info < (3, 14):
    @dataclass(frozen=True, slots=True)
    class FrameCallGraphEntry:
        frame: FrameType

    @dataclass(frozen=True, slots=True)
    class FutureCallGraph:
        future: asyncio.Future[Any]
        call_stack: tuple[FrameCallGraphEntry, ...]
        awaited_by: tuple[FutureCallGraph, ...]

    @overload
    def capture_call_graph(
        future: None = None, /, *, depth: int = 1, limit: int | None = None
    ) -> FutureCallGraph | None: ...
    @overload
    def capture_call_graph(
        future: asyncio.Future[Any], /, *, depth: int = 1, limit: int | None = None
    ) -> FutureCallGraph | None: ...
    def format_call_graph(
        future: asyncio.Future[Any] | None = None, /, *, depth: int = 1, limit: int | None = None
    ) -> str: ...
    def print_call_graph(
        future: asyncio.Future[Any] | None = None,
        /,
        *,
        file: TextIO | None = None,
        depth: int = 1,
        limit: int | None = None,
    ) -> None: ...
    def future_add_to_awaited_by(fut: asyncio.Future[Any], waiter: asyncio.Future[Any], /) -> None: ...
    def future_discard_from_awaited_by(fut: asyncio.Future[Any], waiter: asyncio.Future[Any], /) -> None: ...
