"""Public functions given what they do not take: the type of the error, and that nothing is left half done."""

import asyncio

from observe import attempt_type, emit, outcome, scenario


class Weird:
    """Raises from everything it is asked."""

    def __getattr__(self, name):
        raise ZeroDivisionError(name)

    def __repr__(self):
        return "Weird"


@scenario
async def combinators():
    weird = Weird()
    for function in (asyncio.gather, asyncio.shield, asyncio.ensure_future, asyncio.create_task):
        attempt_type(function.__name__, function, weird)
    for function in (asyncio.wait, asyncio.wait_for):
        for args in ((weird,), (weird, 1)):
            await kind(function.__name__, function, *args)


async def kind(label, function, *args):
    try:
        await function(*args)
    except Exception as exc:
        emit(label, type(exc))


@scenario
async def loop_methods():
    loop = asyncio.get_running_loop()
    for name in ("call_soon", "call_later", "call_at", "create_task", "run_in_executor", "add_reader", "add_writer",
                 "remove_reader", "add_signal_handler", "set_task_factory", "set_exception_handler",
                 "set_default_executor", "call_exception_handler", "run_until_complete"):  # fmt: skip
        attempt_type(f"{name}()", getattr(loop, name))
    for name in ("stop", "close", "time", "is_running", "create_future", "get_debug", "shutdown_asyncgens"):
        attempt_type(f"{name}(1)", getattr(loop, name), 1)


@scenario
async def future_methods():
    fut = asyncio.get_running_loop().create_future()
    for name in ("set_result", "set_exception", "add_done_callback", "remove_done_callback"):
        attempt_type(f"{name}()", getattr(fut, name))
    for name in ("result", "exception", "done", "cancelled", "get_loop"):
        attempt_type(f"{name}(1)", getattr(fut, name), 1)
    attempt_type("cancel(1, 2)", fut.cancel, 1, 2)
    emit(fut.done())


@scenario
async def task_methods():
    task = asyncio.current_task()
    for name in ("cancelled", "cancelling", "uncancel", "get_name", "get_coro"):
        attempt_type(f"{name}(1)", getattr(task, name), 1)
    for name in ("set_name",):
        attempt_type(f"{name}()", getattr(task, name))
    attempt_type("get_stack(1)", task.get_stack, 1)
    emit(task.cancelling())


@scenario
async def constructors():
    for cls in (
        asyncio.Future,
        asyncio.Lock,
        asyncio.Event,
        asyncio.Queue,
        asyncio.Barrier,
        asyncio.Semaphore,
    ):
        attempt_type(cls.__name__, lambda cls=cls: cls(1, 2, 3))
        attempt_type(f"{cls.__name__} keyword", lambda cls=cls: cls(no_such_argument=1))
    attempt_type("Future positional", asyncio.Future, asyncio.get_running_loop())
    attempt_type("Runner positional", asyncio.Runner, True)
    attempt_type("TaskGroup argument", asyncio.TaskGroup, 1)


@scenario
async def weird_loops():
    attempt_type("Future", lambda: asyncio.Future(loop=Weird()))
    coro = asyncio.sleep(0)
    attempt_type("Task", lambda: asyncio.Task(coro, loop=Weird()))
    coro.close()
    attempt_type("run_coroutine_threadsafe", asyncio.run_coroutine_threadsafe, 1, Weird())


@scenario
async def awaiting_non_awaitables():
    async def awaits(value):
        return await value

    for value in (asyncio.Lock(), asyncio.Event(), asyncio.Queue(), asyncio.TaskGroup()):
        await outcome(type(value).__name__, awaits(value))


@scenario
async def deleting_attributes():
    fut = asyncio.get_running_loop().create_future()
    task = asyncio.current_task()
    for thing, name in ((fut, "_state"), (fut, "_log_traceback"), (fut, "_asyncio_future_blocking"),
                        (task, "_coro"), (task, "_log_destroy_pending")):  # fmt: skip
        attempt_type(name, delattr, thing, name)
