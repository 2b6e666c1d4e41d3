"""Methods that programs replace: on an instance, a class or a base class, before and after instances exist."""

import asyncio
import contextlib

from observe import emit, scenario, spin


@contextlib.contextmanager
def replaced(owner, name, seen, dictionary=False):
    """Have *owner*, a class or an object, count the calls of a method by appending to *seen*."""
    original = getattr(owner, name)

    def wrapper(*args, **kwargs):
        seen.append(name)
        return original(*args, **kwargs)

    own = vars(owner).get(name) if isinstance(owner, type) else None
    if dictionary:
        vars(owner)[name] = wrapper
    else:
        setattr(owner, name, wrapper)
    try:
        yield
    finally:
        if own is not None:
            setattr(owner, name, own)
        else:
            delattr(owner, name)


async def places(kind, name, make, use):
    """Replace *name* in each place in which it can be replaced, and use an object from before and one from after."""

    class Derived(kind):
        pass

    for place in "class", "derived", "base of derived", "instance", "instance's dict":
        cls = Derived if "derived" in place else kind
        owner = {"class": kind, "derived": Derived, "base of derived": kind}.get(place)
        seen = []
        before = make(cls)
        await use(before)
        with replaced(owner or before, name, seen, dictionary=place == "instance's dict"):
            await use(before)
            after = make(cls)
            await use(after)
            emit(kind.__name__, name, place, seen.count(name))
        seen.clear()
        await use(before)
        await use(after)
        emit("put back", len(seen))


async def enter_and_leave(obj):
    async with obj:
        pass


@scenario
async def locks_under_async_with():
    for kind in asyncio.Lock, asyncio.Semaphore, asyncio.BoundedSemaphore:
        for name in "acquire", "release":
            await places(kind, name, lambda cls: cls(), enter_and_leave)


@scenario
async def semaphore_base_class():
    seen = []
    sem = asyncio.BoundedSemaphore()
    with replaced(asyncio.Semaphore, "acquire", seen):
        await enter_and_leave(sem)
    emit(seen)


@scenario
async def condition_of_a_patched_lock():
    seen = []
    with replaced(asyncio.Lock, "acquire", seen), replaced(asyncio.Lock, "release", seen):
        await enter_and_leave(asyncio.Condition())
    emit(seen)


@scenario
async def condition_through_itself():
    async def use(condition):
        async with condition:
            condition.notify_all()

    await places(asyncio.Condition, "notify", lambda cls: cls(), use)


@scenario
async def queues_through_themselves():
    async def use(queue):
        queue.put_nowait(1)
        await queue.put(2)
        await queue.get()
        queue.get_nowait()

    for name in "_put", "_get", "full", "empty", "qsize", "put_nowait", "get_nowait":
        await places(asyncio.Queue, name, lambda cls: cls(4), use)
    for kind in asyncio.LifoQueue, asyncio.PriorityQueue:
        for name in "_put", "_get":
            await places(kind, name, lambda cls: cls(), use)


@scenario
async def readers_through_themselves():
    async def use(reader):
        reader.feed_data(b"line\nmore")
        await reader.readline()
        await reader.read(2)
        reader.feed_data(b"!")
        await reader.readuntil(b"!")

    for name in "readuntil", "_wait_for_data", "_maybe_resume_transport", "_wakeup_waiter":
        await places(asyncio.StreamReader, name, lambda cls: cls(), use)


async def works(loop):
    """One use of each thing that goes through a loop's own methods."""
    loop.call_soon(int)
    loop.call_later(0, int)
    await asyncio.sleep(0.001)  # a timer due later than the other
    await asyncio.create_task(asyncio.sleep(0))
    lock = asyncio.Lock()
    await lock.acquire()
    waiting = asyncio.ensure_future(lock.acquire())
    await spin()
    lock.release()
    await waiting
    await asyncio.wait_for(asyncio.sleep(0), 10)


LOOP = "call_soon", "call_later", "call_at", "time", "create_task", "create_future"


@scenario
async def loop_methods_on_the_instance():
    loop = asyncio.get_running_loop()
    for name in LOOP:
        seen = []
        await works(loop)
        with replaced(loop, name, seen):
            await works(loop)
        emit(name, name in seen)
        seen.clear()
        await works(loop)
        emit("put back", len(seen))


@scenario
async def loop_methods_on_classes_while_a_loop_lives():
    loop = asyncio.get_running_loop()
    for owner in type(loop), asyncio.BaseEventLoop:
        for name in LOOP:
            seen = []
            await works(loop)
            with replaced(owner, name, seen):
                await works(loop)
            emit(owner.__name__.replace("_Unix", ""), name, name in seen)
            seen.clear()
            await works(loop)
            emit("put back", len(seen))


@scenario
def loop_methods_on_classes_before_there_is_a_loop():
    for owner in asyncio.SelectorEventLoop, asyncio.BaseEventLoop:
        for name in LOOP:
            seen = []
            with replaced(owner, name, seen):
                loop = asyncio.new_event_loop()
                loop.run_until_complete(works(loop))
                loop.close()
            emit(owner.__name__.replace("_Unix", ""), name, name in seen)


@scenario
def called_directly_on_a_loop():
    seen = []
    loop = asyncio.new_event_loop()
    loop.call_soon(int)
    with replaced(asyncio.BaseEventLoop, "call_soon", seen):
        for _ in range(3):
            loop.call_soon(int)
        asyncio.SelectorEventLoop.call_soon(loop, int)
        emit(len(seen), "call_soon" in vars(type(loop)))
    loop.call_soon(int)
    emit(len(seen))
    loop.close()


@scenario
async def handles_and_tasks_run():
    kinds = []
    original = asyncio.Handle._run

    def run(self):
        callback = self._callback
        task = getattr(callback, "__self__", None)
        kinds.append("task" if isinstance(task, asyncio.Task) else callback)
        return original(self)

    async def child():
        await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    await asyncio.create_task(child())
    loop.call_soon(int)
    asyncio.Handle._run = run
    try:
        loop.call_soon(str)
        loop.call_later(0, float)
        loop.call_soon_threadsafe(bytes)
        await asyncio.create_task(child())
        await asyncio.sleep(0.01)  # a timer due later than the other
    finally:
        asyncio.Handle._run = original
    emit([kind in kinds for kind in (int, str, float, bytes, "task")])
    kinds.clear()
    loop.call_soon(int)
    await spin()
    emit(kinds)


@scenario
async def an_error_in_a_replaced_run():
    class Wrong(BaseException):
        pass

    caught = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: caught.append(context["message"][:27]))
    original, seen = asyncio.Handle._run, []

    def run(self):
        seen.append(1)
        return original(self)

    asyncio.Handle._run = run
    try:
        loop.call_soon(lambda: 1 / 0)
        await spin()
    finally:
        asyncio.Handle._run = original
    emit(caught, bool(seen))


@scenario
async def transports_asked_by_streams():
    served = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda reader, writer: served.set_result(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for place in "instance", "class":
        transport = writer.transport
        owner = transport if place == "instance" else type(transport)
        for name, use in {
            "get_extra_info": lambda: writer.get_extra_info("peername"),
            "is_closing": lambda: writer.is_closing(),
            "write": lambda: writer.write(b"x"),
            "writelines": lambda: writer.writelines([b"x"]),
        }.items():
            seen = []
            use()
            with replaced(owner, name, seen):
                use()
            emit(place, name, seen.count(name))
            use()
            emit("put back", seen.count(name))
    writer.close()
    (await served).close()
    server.close()
