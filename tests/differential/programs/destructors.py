"""__del__ methods that run in the middle of asyncio's work."""

import asyncio

from observe import emit, outcome, scenario, spin, watch_exceptions


class Says:
    def __init__(self, text):
        self.text = text

    def __del__(self):
        emit("del", self.text)

    def __call__(self, *args):
        emit("called", self.text)


class Raises(Says):
    def __del__(self):
        raise ValueError(f"del {self.text}")


@scenario
async def arguments_die_after_the_call():
    loop = asyncio.get_running_loop()
    loop.call_soon(Says("callback"), Says("argument"))
    loop.call_soon(emit, "next callback")
    await spin(2)
    emit("end")


@scenario
async def arguments_die_at_cancel():
    loop = asyncio.get_running_loop()
    handle = loop.call_soon(Says("callback"), Says("argument"))
    handle.cancel()
    emit("cancelled")
    timer = loop.call_later(3600, Says("timer"))
    timer.cancel()
    emit("timer cancelled")
    await spin(2)


@scenario
async def failing_destructors():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    loop.call_soon(Raises("callback"))
    loop.call_soon(emit, "goes on")
    await spin(2)
    fut = loop.create_future()
    fut.set_result(Raises("result"))
    del fut
    emit("end")


@scenario
async def destructor_uses_the_loop():
    loop = asyncio.get_running_loop()

    class Schedules:
        def __del__(self):
            loop.call_soon(emit, "scheduled by __del__")

    fut = loop.create_future()
    fut.set_result(Schedules())
    del fut
    loop.call_soon(Schedules().__class__)
    await spin(4)


@scenario
async def destructor_resolves_a_future():
    loop = asyncio.get_running_loop()
    fut = loop.create_future()

    class Resolves:
        def __del__(self):
            fut.set_result("by __del__")

    loop.call_soon(lambda x: None, Resolves())
    emit(await fut)


@scenario
async def destructor_of_a_result_cancels():
    loop = asyncio.get_running_loop()
    other = asyncio.create_task(asyncio.sleep(3600))

    class Cancels:
        def __del__(self):
            other.cancel("by __del__")

    async def work():
        return Cancels()

    task = asyncio.create_task(work())
    await task
    await spin()
    del task
    await outcome("other", other)
    emit(loop.is_running())


@scenario
async def locals_of_a_finished_task():
    async def work():
        local = Says("local")
        await asyncio.sleep(0)
        return local.text

    task = asyncio.create_task(work())
    emit(await task)
    emit("awaited")


@scenario
async def locals_of_a_cancelled_task():
    async def work():
        local = Says("local")
        await asyncio.sleep(3600)
        return local

    task = asyncio.create_task(work())
    await spin()
    task.cancel()
    await asyncio.wait([task])
    emit("cancelled", task.cancelled())
    del task
    emit("end")


@scenario
async def queue_items():
    queue = asyncio.Queue()
    queue.put_nowait(Says("left in the queue"))
    queue.put_nowait(Says("second"))
    queue.get_nowait()
    emit("taken")
    del queue
    emit("end")


@scenario
async def callbacks_of_futures():
    fut = asyncio.get_running_loop().create_future()
    fut.add_done_callback(Says("callback"))
    fut.remove_done_callback(print)
    del fut
    emit("dropped")
    fut = asyncio.get_running_loop().create_future()
    fut.add_done_callback(Says("callback"))
    fut.set_result(None)
    await spin(2)
    emit("ran")
