"""Functions of asyncio's with an underscore that programs use: what they do."""

import asyncio
import collections
import concurrent.futures
import functools
import socket
from asyncio import base_events, base_futures, base_tasks, futures, locks, runners, tasks

from observe import attempt, emit, new_loop, outcome, scenario, spin


@scenario
async def set_result_unless_cancelled():
    loop = asyncio.get_running_loop()
    for cancelled in (False, True):
        fut = loop.create_future()
        if cancelled:
            fut.cancel()
        futures._set_result_unless_cancelled(fut, 5)
        emit(fut)
    attempt("again", futures._set_result_unless_cancelled, done(1), 2)


def done(value):
    fut = asyncio.get_running_loop().create_future()
    fut.set_result(value)
    return fut


def failed(exc):
    fut = asyncio.get_running_loop().create_future()
    fut.set_exception(exc)
    return fut


@scenario
async def get_loop():
    emit(futures._get_loop(done(1)) is asyncio.get_running_loop())

    class LikeAFuture:
        _loop = "its loop"

    emit(futures._get_loop(LikeAFuture()))


@scenario(
    differs="`_copy_future_state()` copies from asyncio's own futures too. Since 3.15 asyncio asks the source for "
    "what only `concurrent.futures.Future` has.",
    differs_in=[(3, 15)],
    expected=[
        ["event", "target", "returned", 1],
        ["event", "target", "raised", {"exception": "ValueError", "message": "x"}],
        ["event", "target", "raised", {"exception": "CancelledError", "message": ""}],
        ["event", "AssertionError"],
        ["event", "AssertionError"],
    ],
)
async def copy_future_state():
    loop = asyncio.get_running_loop()
    cancelled = loop.create_future()
    cancelled.cancel()
    for source in (done(1), failed(ValueError("x")), cancelled):
        target = loop.create_future()
        futures._copy_future_state(source, target)
        await outcome("target", target)
    futures._copy_future_state(done(1), cancelled)
    for source, target in ((loop.create_future(), loop.create_future()), (done(1), done(2))):
        try:
            futures._copy_future_state(source, target)
        except AssertionError:
            emit("AssertionError")


@scenario(
    differs="`_chain_future()` chains asyncio's own futures. Since 3.15 asyncio asks the source for what only "
    "`concurrent.futures.Future` has, and the future at the other end waits for ever.",
    differs_in=[(3, 15)],
    expected=[
        ["event", "from the source"],
        ["event", True],
        ["event", "target", "raised", {"exception": "CancelledError", "message": "theirs"}],
        ["event", {"exception": "ValueError", "message": "ours"}],
        [
            "event",
            "no future",
            "raised",
            {"exception": "TypeError", "message": "A future is required for source argument"},
        ],
        [
            "event",
            "no future",
            "raised",
            {"exception": "TypeError", "message": "A future is required for destination argument"},
        ],
    ],
)
async def chained():
    loop = asyncio.get_running_loop()
    source, target = loop.create_future(), loop.create_future()
    futures._chain_future(source, target)
    source.set_result("from the source")
    emit(await target)

    source, target = loop.create_future(), loop.create_future()
    futures._chain_future(source, target)
    target.cancel()
    await spin()
    emit(source.cancelled())

    source, target = concurrent.futures.Future(), loop.create_future()
    futures._chain_future(source, target)
    source.set_exception(concurrent.futures.CancelledError("theirs"))
    await outcome("target", target)

    target = concurrent.futures.Future()
    futures._chain_future(failed(ValueError("ours")), target)
    await spin()
    emit(target.exception())
    attempt("no future", futures._chain_future, 1, loop.create_future())
    attempt("no future", futures._chain_future, loop.create_future(), 1)


@scenario
async def concurrent_state():
    for source in (done(1), failed(KeyError("x"))):
        target = concurrent.futures.Future()
        futures._set_concurrent_future_state(target, source)
        emit(target.done(), target.exception())


@scenario
def convert_exceptions():
    for exc in (
        concurrent.futures.CancelledError("a"),
        concurrent.futures.InvalidStateError("b"),
        ValueError("c"),
    ):
        converted = futures._convert_future_exc(exc)
        emit(type(converted), converted.args, converted is exc)


@scenario
async def release_waiter():
    """What several libraries build their own wait() of."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    released = functools.partial(tasks._release_waiter, waiter)
    other = done(1)
    other.add_done_callback(released)
    emit(await waiter)
    tasks._release_waiter(waiter, "any", "arguments")
    emit(waiter)


@scenario
async def wait_for_futures():
    async def value(x):
        return x

    loop = asyncio.get_running_loop()
    all_of_them = {loop.create_task(value(1)), loop.create_task(value(2))}
    finished, pending = await tasks._wait(all_of_them, None, asyncio.ALL_COMPLETED, loop)
    emit(sorted(task.result() for task in finished), pending)


@scenario(since=(3, 12))
async def cancel_and_wait():
    async def forever():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            emit("cleaned up")

    task = asyncio.create_task(forever())
    await spin()
    await tasks._cancel_and_wait(task)
    emit(task.cancelled())


@scenario
async def sleep0():
    emit("before")
    asyncio.get_running_loop().call_soon(emit, "meanwhile")
    await tasks.__dict__["__sleep0"]()
    emit("after")


@scenario
def cancel_all_tasks():
    async def forever():
        await asyncio.get_running_loop().create_future()

    async def fails():
        try:
            await forever()
        finally:
            raise ValueError("while cancelled")

    loop = new_loop()
    loop.set_exception_handler(lambda loop, context: emit(context["message"], context["exception"]))
    first, second = loop.create_task(forever()), loop.create_task(fails())
    loop.run_until_complete(spin())
    runners._cancel_all_tasks(loop)
    emit(first.cancelled(), second.done())
    runners._cancel_all_tasks(loop)
    loop.close()


@scenario
async def shown():
    def callback(fut):
        pass

    loop = asyncio.get_running_loop()
    fut = loop.create_future()
    fut.add_done_callback(callback)
    emit(base_futures._future_repr_info(fut), base_futures._future_repr(fut))
    emit(base_futures._format_callbacks([]), base_futures._format_callbacks([(callback, None)]))
    emit(base_futures._format_callbacks([(callback, None)] * 3))
    emit(base_events._format_handle(loop.call_soon(callback, fut)))
    emit([base_events._format_pipe(fd) for fd in (-1, -2, 5, None)])
    task = asyncio.create_task(spin(5))
    await spin()
    emit(len(base_tasks._task_get_stack(task, None)), len(base_tasks._task_get_stack(task, 1)))
    emit(base_tasks._task_repr_info(task)[0])
    await task


@scenario
def addresses():
    inet, inet6 = socket.AF_INET, socket.AF_INET6
    stream, tcp = socket.SOCK_STREAM, socket.IPPROTO_TCP
    for args in (
        ("127.0.0.1", 80, inet, stream, tcp),
        ("127.0.0.1", "80", socket.AF_UNSPEC, stream, 0),
        ("127.0.0.1", None, inet, socket.SOCK_DGRAM, 0),
        ("::1", 80, inet6, stream, tcp),
        ("::1", 80, inet6, stream, tcp, 3, 4),
        ("::1", 80, inet, stream, tcp),
        ("localhost", 80, inet, stream, tcp),
        ("127.0.0.1", "http", inet, stream, tcp),
        (None, 80, inet, stream, tcp),
        (b"127.0.0.1", 80, inet, stream, tcp),
    ):
        info = base_events._ipaddr_info(*args)
        emit(info if info is None else (*map(int, info[:3]), *info[3:]))
    infos = [(family, number) for number, family in enumerate((inet6, inet6, inet6, inet, inet))]
    for count in (1, 2, 3):
        emit([number for _, number in base_events._interleave_addrinfos(infos, count)])


@scenario
def socket_options():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        base_events._set_nodelay(sock)
        base_events._set_reuseport(sock)
        emit(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
        emit(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0)
        base_events._check_ssl_socket(sock)
    with socket.socket(socket.AF_UNIX) as sock:
        base_events._set_nodelay(sock)
        attempt("not built", base_events._set_reuseport, socket)


@scenario
async def a_queue_that_puts_back():
    class Deque(asyncio.Queue):
        def putleft_nowait(self, item):
            self._queue.appendleft(item)
            self._unfinished_tasks += 1
            self._finished.clear()
            self._wakeup_next(self._getters)

    queue = Deque()
    queue.put_nowait(1)
    queue.putleft_nowait(0)
    emit(await queue.get(), await queue.get())
    waiting = asyncio.create_task(queue.get())
    await spin()
    queue.putleft_nowait("for the waiting get()")
    emit(await waiting)
    own = collections.deque([done(1), asyncio.get_running_loop().create_future()])
    last = own[-1]
    queue._wakeup_next(own)
    emit(last.done(), len(own))


@scenario
async def a_context_manager_mixin():
    class Mine(locks._ContextManagerMixin):
        async def acquire(self):
            emit("acquire")

        def release(self):
            emit("release")

    async with Mine() as given:
        emit(given)


@scenario
async def a_lock_that_wakes():
    lock = asyncio.Lock()
    await lock.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await spin()
    lock._locked = False
    lock._wake_up_first()
    await spin()
    emit(waiting.done(), lock.locked())


@scenario
async def methods_of_the_loop():
    loop = asyncio.get_running_loop()
    loop._add_callback(asyncio.Handle(emit, ("a handle",), loop))
    cancelled = asyncio.Handle(emit, ("never",), loop)
    cancelled.cancel()
    loop._add_callback(cancelled)
    loop._add_callback_signalsafe(asyncio.Handle(emit, ("another",), loop))
    loop._call_soon(emit, ("soon",), None)
    await spin()
    attempt("_check_callback", loop._check_callback, a_lock_that_wakes, "call_soon")
    attempt("_check_callback", loop._check_callback, 1, "call_soon")
    loop._check_thread()
    loop._check_default_executor()
    ours, theirs = socket.socketpair()
    loop._ensure_fd_no_transport(ours)
    ours.setblocking(False)
    received = loop.create_future()

    class Protocol(asyncio.Protocol):
        def data_received(self, data):
            received.set_result(data)

    transport = loop._make_socket_transport(ours, Protocol(), extra={"more": 1})
    theirs.sendall(b"bytes")
    emit(await received, transport.get_extra_info("more"))
    transport.close()
    theirs.close()
    await spin()
