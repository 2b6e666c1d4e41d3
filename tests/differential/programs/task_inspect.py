"""Looking at tasks: reprs, stacks, coroutines, attributes."""

import asyncio
import io

from observe import attempt_type, emit, normal, outcome, scenario, spin


async def waits(fut):
    return await fut


async def outer(fut):
    return await waits(fut)


async def fails():
    raise ValueError("task failed")


@scenario
async def reprs():
    fut = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waits(fut), name="subject")
    emit(task)
    await spin()
    emit(task)
    task.add_done_callback(print)
    emit(task)
    task.remove_done_callback(print)
    task.cancel()
    emit(task)
    await outcome("task", task)
    emit(task)


@scenario
async def repr_of_the_running_task():
    async def me():
        emit(asyncio.current_task())

    await asyncio.create_task(me(), name="me")


@scenario
async def repr_when_finished():
    task = asyncio.create_task(asyncio.sleep(0, "value"), name="sleeper")
    await task
    emit(task)
    task = asyncio.create_task(fails(), name="failing")
    await outcome("task", task)
    emit(task)


@scenario
async def waiter_chain():
    fut = asyncio.get_running_loop().create_future()
    inner = asyncio.create_task(waits(fut), name="inner")
    outer_task = asyncio.create_task(waits(inner), name="outer")
    await spin(2)
    emit(outer_task)
    emit(inner)
    fut.set_result(1)
    await outer_task


@scenario
async def stacks():
    fut = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(outer(fut))
    emit([frame.f_code.co_name for frame in task.get_stack()])
    await spin()
    emit([frame.f_code.co_name for frame in task.get_stack()])
    emit([frame.f_code.co_name for frame in task.get_stack(limit=1)])
    fut.set_result(1)
    await task
    emit(task.get_stack())
    task = asyncio.create_task(fails())
    await outcome("task", task)
    emit([frame.f_code.co_name for frame in task.get_stack()])


@scenario
async def print_stack():
    fut = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waits(fut), name="subject")
    await spin()
    for subject in (task, asyncio.create_task(fails(), name="failing")):
        await spin(2)
        out = io.StringIO()
        subject.print_stack(file=out)
        lines = out.getvalue().splitlines()
        emit(normal(lines[0]), [line.strip() for line in lines[1:] if "File" not in line], len(lines))
        if subject.done():
            subject.exception()
    fut.set_result(1)
    await task
    out = io.StringIO()
    task.print_stack(file=out)
    emit(out.getvalue())


@scenario
async def get_coro():
    coro = asyncio.sleep(0)
    task = asyncio.create_task(coro)
    emit(task.get_coro() is coro)
    await task
    emit(task.get_coro() is coro)


@scenario
async def attributes():
    fut = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waits(fut))
    emit(task._must_cancel, task._fut_waiter, task._log_destroy_pending, task._coro is task.get_coro())
    await spin()
    emit(task._fut_waiter is fut)
    attempt_type("set _must_cancel", setattr, task, "_must_cancel", True)
    task._log_destroy_pending = False
    emit(task._log_destroy_pending)
    fut.set_result(1)
    emit(await task, task._fut_waiter)


@scenario
async def what_it_is():
    task = asyncio.create_task(asyncio.sleep(0))
    emit(isinstance(task, asyncio.Task), isinstance(task, asyncio.Future), asyncio.isfuture(task))
    emit(issubclass(asyncio.Task, asyncio.Future), bool(task), type(task))
    await task


@scenario(debug=True)
async def debug_mode():
    task = asyncio.create_task(fails(), name="failing")
    emit(len(task._source_traceback) > 0, task)
    await outcome("task", task)
    emit(task)


@scenario
async def subclass():
    class Mine(asyncio.Task):
        def cancel(self, *args, **kwargs):
            emit("cancel called", list(args))
            return super().cancel(*args, **kwargs)

    loop = asyncio.get_running_loop()
    task = Mine(waits(loop.create_future()), loop=loop, name="mine")
    emit(task)
    await spin()
    outer_task = asyncio.create_task(waits(task))
    await spin(2)
    outer_task.cancel("through the subclass")
    await outcome("outer", outer_task)
    emit(task.cancelled())


@scenario
async def generic_alias():
    emit(asyncio.Task[int], asyncio.Future[str], asyncio.Queue[bytes])
