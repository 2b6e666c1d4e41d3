"""Process and the functions that start one; native."""

from ._lazy import attributes
from ._native import Process, create_subprocess_exec, create_subprocess_shell
from .base_subprocess import _SubprocessStreamProtocol as SubprocessStreamProtocol

__all__ = ("create_subprocess_exec", "create_subprocess_shell")

__getattr__ = attributes(__name__, "logger", "events", "protocols", "streams", "subprocess", "tasks")

# The values of the subprocess module, which costs too much to import for three numbers.
PIPE = -1
STDOUT = -2
DEVNULL = -3
