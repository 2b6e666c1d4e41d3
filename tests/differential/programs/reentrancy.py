"""Callbacks that turn on the thing that is calling them."""

import asyncio

from observe import attempt, emit, new_loop, outcome, scenario, spin


@scenario
async def removing_callbacks_while_they_are_scheduled():
    fut = asyncio.get_running_loop().create_future()

    def two(f):
        emit("two")

    def one(f):
        emit("one", f.remove_done_callback(two))

    fut.add_done_callback(one)
    fut.add_done_callback(two)
    fut.set_result(None)
    await spin(2)


@scenario
async def setting_a_result_in_a_done_callback():
    fut, other = (asyncio.get_running_loop().create_future() for _ in range(2))
    fut.add_done_callback(lambda f: other.set_result(f.result() + 1))
    other.add_done_callback(lambda f: emit("other", f.result()))
    fut.set_result(1)
    emit(await other)


@scenario
async def cancelling_tasks_from_each_other():
    tasks = []

    async def work(i):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            emit("cancelled", i)
            tasks[(i + 1) % 3].cancel()
            raise

    tasks += [asyncio.create_task(work(i)) for i in range(3)]
    await spin()
    tasks[0].cancel()
    await asyncio.wait(tasks)
    emit([t.cancelled() for t in tasks])


@scenario
async def stopping_from_a_task():
    loop = asyncio.get_running_loop()
    emit(loop.is_running())


@scenario
def closing_from_a_callback():
    loop = new_loop()
    loop.call_soon(lambda: (attempt("close", loop.close), loop.stop()))
    loop.run_forever()
    emit(loop.is_closed())
    loop.close()


@scenario
def stopping_from_inside_run_until_complete():
    loop = new_loop()

    async def main():
        loop.stop()
        await asyncio.sleep(0)
        return "went on"

    task = loop.create_task(main())
    attempt("run", loop.run_until_complete, task)
    emit(task.done())
    loop.close()


@scenario
async def cancel_in_a_done_callback_of_the_awaited():
    fut = asyncio.get_running_loop().create_future()

    async def waiter():
        return await fut

    task = asyncio.create_task(waiter())
    fut.add_done_callback(lambda f: emit("cancel", task.cancel("too late?")))
    await spin()
    fut.set_result("result")
    await outcome("task", task)


@scenario
async def task_awaited_by_its_own_callback():
    async def work():
        return "result"

    task = asyncio.create_task(work())
    task.add_done_callback(lambda t: emit(t.result(), t.done(), asyncio.current_task()))
    await task
    await spin()


@scenario
async def exception_handler_that_schedules():
    loop = asyncio.get_running_loop()

    def handler(loop, context):
        emit("handler", type(context["exception"]))
        if len(seen) < 3:
            seen.append(1)
            loop.call_soon(int, "again")

    seen = []
    loop.set_exception_handler(handler)
    loop.call_soon(int, "first")
    await spin(6)


@scenario
async def task_factory_changed_by_a_task():
    loop = asyncio.get_running_loop()

    def factory(loop, coro, **kwargs):
        emit("factory")
        loop.set_task_factory(None)
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_task_factory(factory)
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))


@scenario
async def lock_released_by_somebody_else():
    lock = asyncio.Lock()
    await lock.acquire()
    waiter = asyncio.create_task(lock.acquire())
    await spin()
    asyncio.get_running_loop().call_soon(lock.release)
    emit(await waiter)
    lock.release()
