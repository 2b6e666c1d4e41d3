"""Cycles through locks and queues for the test that the collector sees them: the object itself, and each waiter.

A waiter's cycle: the task's frame holds the sentinel, the primitive's line holds the task's future, and the sentinel
holds the primitive.
"""

import asyncio
import os

WAITING_CASES = {}


def _case(name, function):
    function.__name__ = name
    WAITING_CASES[name] = function


async def _waits(sentinel, awaitable):
    sentinel.frame_of = asyncio.current_task()
    await awaitable


PRIMITIVES = {
    "lock": asyncio.Lock,
    "event": asyncio.Event,
    "condition": asyncio.Condition,
    "semaphore": lambda: asyncio.Semaphore(0),
    "bounded_semaphore": asyncio.BoundedSemaphore,
    "barrier": lambda: asyncio.Barrier(2),
    "queue": lambda: asyncio.Queue(1),
    "lifo_queue": lambda: asyncio.LifoQueue(1),
    "priority_queue": lambda: asyncio.PriorityQueue(1),
}

WAITS = {
    "lock": ["acquire"],
    "event": ["wait"],
    "condition": ["wait", "wait_for"],
    "semaphore": ["acquire"],
    "barrier": ["wait"],
    "queue": ["get", "put", "join"],
    "lifo_queue": ["get"],
    "priority_queue": ["get"],
}

if os.environ.get("FERRIO_TEST_IMPL", "ferrio") == "ferrio":
    from ferrio import extras

    PRIMITIVES["thread_queue"] = lambda: extras.ThreadQueue(1)
    PRIMITIVES["rate_limiter"] = lambda: extras.RateLimiter(0.001)
    WAITS["thread_queue"] = ["aget", "aput", "ajoin"]
    WAITS["rate_limiter"] = ["acquire"]


def _attribute(make):
    """Through the `__dict__` of a subclass's instance, and through what it keeps."""

    async def in_a_cycle(sentinel):
        made = make()
        sentinel.held = type("Sub", (type(made),), {})() if type(made).__name__ != "Barrier" else made
        sentinel.held.sentinel = sentinel
        if hasattr(made, "put_nowait"):
            made.put_nowait((1, sentinel, made))
            sentinel.queue = made

    return in_a_cycle


async def _start(primitive, method, sentinel):
    """Brings the primitive to where `method` waits, and gives what waits."""
    if method in ("put", "aput"):
        primitive.put_nowait(sentinel)
        return getattr(primitive, method)(sentinel)
    if method in ("join", "ajoin"):
        primitive.put_nowait(sentinel)
    if method == "wait_for":
        await primitive.acquire()
        return primitive.wait_for(lambda: sentinel is None)
    if method == "acquire" or (method == "wait" and isinstance(primitive, asyncio.Condition)):
        taken = not hasattr(primitive, "locked") or not primitive.locked()
        if taken:
            await primitive.acquire()
    return getattr(primitive, method)()


def _waiter(make, method):
    async def in_a_cycle(sentinel):
        sentinel.primitive = make()
        awaitable = await _start(sentinel.primitive, method, sentinel)
        sentinel.held = asyncio.create_task(_waits(sentinel, awaitable))
        sentinel.held._log_destroy_pending = False
        await asyncio.sleep(0)

    return in_a_cycle


def _never_started(make, method):
    async def in_a_cycle(sentinel):
        sentinel.primitive = make()
        sentinel.held = await _start(sentinel.primitive, method, sentinel)
        if hasattr(sentinel.primitive, "__dict__"):
            sentinel.primitive.sentinel = sentinel
        sentinel.held.close()

    return in_a_cycle


for _name, _make in PRIMITIVES.items():
    if _name not in ("thread_queue", "rate_limiter"):
        _case(f"{_name}_attribute", _attribute(_make))
    for _method in WAITS.get(_name, ()):
        # A rate limiter's first waiter is held by the loop's timer, as any sleeper is.
        if _name != "rate_limiter":
            _case(f"{_name}_{_method}_waiter", _waiter(_make, _method))
        _case(f"{_name}_{_method}_closed", _never_started(_make, _method))
