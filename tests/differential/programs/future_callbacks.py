"""Done callbacks of futures: order, removal, failing ones, callbacks that add callbacks."""

import asyncio
import functools

from observe import attempt, attempt_type, emit, scenario, spin, watch_exceptions


@scenario
async def order():
    fut = asyncio.get_running_loop().create_future()
    for i in range(4):
        fut.add_done_callback(functools.partial(lambda i, f: emit(i, f is fut, f.result()), i))
    fut.set_result("r")
    emit("nothing ran yet")
    await spin(1)


@scenario
async def added_after_done():
    fut = asyncio.get_running_loop().create_future()
    fut.set_result(1)
    emit(fut.add_done_callback(lambda f: emit("called")))
    emit("not at once")
    await spin(1)


@scenario
async def removal():
    fut = asyncio.get_running_loop().create_future()

    def one(f):
        emit("one")

    def two(f):
        emit("two")

    for callback in (one, two, one, one):
        fut.add_done_callback(callback)
    emit(fut.remove_done_callback(one), fut.remove_done_callback(one), fut.remove_done_callback(print))
    fut.add_done_callback(one)
    fut.set_result(None)
    emit(fut.remove_done_callback(one))
    await spin(2)


@scenario
async def removal_of_each_position():
    for victim in range(3):
        fut = asyncio.get_running_loop().create_future()
        callbacks = [functools.partial(lambda i, f: emit("ran", i), i) for i in range(3)]
        for callback in callbacks:
            fut.add_done_callback(callback)
        emit("removed", victim, fut.remove_done_callback(callbacks[victim]))
        fut.set_result(None)
        await spin(2)


@scenario
async def removal_by_equality():
    class Equal:
        def __init__(self, name):
            self.name = name

        def __eq__(self, other):
            return isinstance(other, Equal) and self.name == other.name

        def __hash__(self):
            return hash(self.name)

        def __call__(self, fut):
            emit(self.name)

    fut = asyncio.get_running_loop().create_future()
    fut.add_done_callback(Equal("a"))
    fut.add_done_callback(Equal("b"))
    emit(fut.remove_done_callback(Equal("a")))
    fut.set_result(1)
    await spin(2)


@scenario
async def removal_with_hostile_equality():
    fut = asyncio.get_running_loop().create_future()

    class Hostile:
        def __eq__(self, other):
            fut.remove_done_callback(print)
            return False

        def __hash__(self):
            return 1

        def __call__(self, f):
            emit("hostile ran")

    class Raises(Hostile):
        def __eq__(self, other):
            raise ZeroDivisionError("compared")

        __hash__ = None

    fut.add_done_callback(Hostile())
    fut.add_done_callback(Hostile())
    fut.add_done_callback(Hostile())
    attempt_type("hostile", fut.remove_done_callback, len)
    fut.add_done_callback(Raises())
    attempt("raises", fut.remove_done_callback, Raises())
    fut.cancel()
    await spin(2)


@scenario
async def failing():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    fut = loop.create_future()

    def fails(f):
        raise ValueError("in callback")

    fut.add_done_callback(fails)
    fut.add_done_callback(lambda f: emit("next one still runs"))
    fut.set_result(1)
    await spin(2)


@scenario
async def callback_with_wrong_arity():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: emit(type(context["exception"])))
    fut = loop.create_future()
    fut.add_done_callback(lambda: None)
    fut.set_result(1)
    await spin(2)


@scenario
async def callback_adds_callback():
    fut = asyncio.get_running_loop().create_future()

    def outer(f):
        emit("outer")
        f.add_done_callback(lambda f: emit("inner"))

    fut.add_done_callback(outer)
    fut.add_done_callback(lambda f: emit("second"))
    fut.set_result(1)
    await spin(3)


@scenario
async def on_cancel_and_exception():
    for finish in ("cancel", "exception"):
        fut = asyncio.get_running_loop().create_future()
        fut.add_done_callback(lambda f: emit(f.cancelled(), f.done()))
        if finish == "cancel":
            fut.cancel()
        else:
            fut.set_exception(ValueError())
            fut.exception()
        await spin(2)


@scenario
async def odd_arguments():
    fut = asyncio.get_running_loop().create_future()
    attempt_type("no callback", fut.add_done_callback)
    attempt(
        "context must be given by keyword",
        lambda: attempt_type("positional", fut.add_done_callback, emit, None),
    )
    attempt_type("unknown keyword", lambda: fut.add_done_callback(emit, other=1))
    emit(fut.remove_done_callback(None))
    fut.cancel()


@scenario
async def against_call_soon():
    loop = asyncio.get_running_loop()
    fut = loop.create_future()
    fut.add_done_callback(lambda f: emit("done callback"))
    loop.call_soon(emit, "before")
    fut.set_result(1)
    loop.call_soon(emit, "after")
    await spin(2)


@scenario
async def removing_some_of_many():
    class Callable:
        def __init__(self, number):
            self.number = number

        def method(self, fut):
            pass

        def other(self, fut):
            pass

    class Equal:
        def __eq__(self, other):
            return isinstance(other, Equal)

        def __call__(self, fut):
            pass

    def first(fut):
        pass

    def second(fut):
        pass

    one, two = Callable(1), Callable(1)
    added = [
        first,
        one.method,
        second,
        one.method,
        two.method,
        one.other,
        print,
        Equal(),
        first,
        functools.partial(first),
    ]
    for wanted in [first, second, one.method, one.other, two.method, two.other, print, repr, Equal(), None]:
        fut = asyncio.get_running_loop().create_future()
        emit(fut.remove_done_callback(wanted))
        for callback in added:
            fut.add_done_callback(callback)
        emit(fut.remove_done_callback(wanted), fut.remove_done_callback(wanted), len(fut._callbacks or ()))
        # What is left is still in its order.
        left = [callback for callback, _context in fut._callbacks]
        emit(
            [added.index(callback) for callback in left] == sorted(added.index(callback) for callback in left)
        )


@scenario
async def removing_what_a_task_waits_with():
    fut = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(asyncio.wait_for(fut, 60))
    await asyncio.sleep(0)

    def called(fut):
        emit("called")

    fut.add_done_callback(called)
    emit(fut.remove_done_callback(called))
    fut.set_result("the result")
    emit(await task)
