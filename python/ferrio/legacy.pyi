"""Types of `ferrio.legacy`."""

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

_P = ParamSpec("_P")

def coroutine(func: Callable[_P, Any]) -> Callable[_P, Coroutine[Any, Any, Any]]: ...
