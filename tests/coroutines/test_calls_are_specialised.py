"""A method that returns a coroutine is called without being looked up each time.

The interpreter notes at the call what it has found on the class (``LOAD_ATTR_METHOD_*``), as it does for functions
written in Python. It does so only for descriptors of types that cannot change, which those of ferrio's methods are of
(``crates/ferrio-object/src/coroutine_function.rs``).
"""

import dis
import sys
import types

import implementation
import pytest

library = implementation.package(implementation.chosen())


async def acquire(obj):
    coro = obj.acquire()
    coro.close()


async def get(obj):
    coro = obj.get()
    coro.close()


async def put(obj):
    coro = obj.put(1)
    coro.close()


async def wait(obj):
    coro = obj.wait()
    coro.close()


async def read(obj):
    coro = obj.read(1)
    coro.close()


async def release(obj):
    obj.release()


CALLS = {
    "Lock.acquire": (library.Lock, acquire),
    "Semaphore.acquire": (library.Semaphore, acquire),
    "Semaphore.release": (library.Semaphore, release),
    "Event.wait": (library.Event, wait),
    "Queue.get": (library.Queue, get),
    "Queue.put": (library.Queue, put),
    "PriorityQueue.get": (library.PriorityQueue, get),
    "StreamReader.read": (library.StreamReader, read),
}


def run(function, obj):
    """Through its first step, which is its last."""
    with pytest.raises(StopIteration):
        function(obj).send(None)


@pytest.mark.skipif(
    sys.version_info < (3, 12),
    reason="3.11 does so for no C class with a __dict__ that is made when it is needed",
)
@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_method_is_looked_up_once(name):
    make, original = CALLS[name]
    method = name.rpartition(".")[2]

    async def main():
        obj = make()
        # Of its own code: the calls of other tests leave their marks in it.
        function = types.FunctionType(original.__code__.replace(), original.__globals__)
        for _ in range(100):
            run(function, obj)
        loads = [
            instruction.opname
            for instruction in dis.get_instructions(function, adaptive=True)
            if instruction.opname.startswith(("LOAD_ATTR", "LOAD_METHOD"))
            and method in str(instruction.argval)
        ]
        assert len(loads) == 1
        assert loads[0].startswith("LOAD_ATTR_METHOD_")

    library.run(main())
