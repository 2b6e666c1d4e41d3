"""copy and pickle on locks, queues and their like: what can be copied, what is in the copy, and what is refused."""

import asyncio
import copy
import pickle

from observe import emit, scenario, spin

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda obj, protocol=protocol: pickle.loads(pickle.dumps(obj, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


def copies(obj):
    """Each way of copying, and what it gives; nothing where it is refused."""
    for way, function in WAYS.items():
        try:
            yield way, function(obj)
        except Exception as exc:
            emit(way, "refused", type(exc))


class Named(asyncio.Lock):
    def __init__(self, name):
        super().__init__()
        self.name = name


class Numbered(asyncio.Queue):
    """A queue that keeps its items elsewhere."""

    def _init(self, maxsize):
        self.items = []

    def _put(self, item):
        self.items.append(item)

    def _get(self):
        return self.items.pop()

    def qsize(self):
        return len(self.items)

    def empty(self):
        return not self.items


@scenario
def locks():
    lock = asyncio.Lock()
    lock.note = ["a note"]
    for way, other in copies(lock):
        emit(way, other, other.locked(), other.note, other.note is lock.note)
    for way, other in copies(Named("mine")):
        emit(way, type(other).__name__, other.name, other.locked())


@scenario
async def a_taken_lock():
    lock = asyncio.Lock()
    await lock.acquire()
    for way, other in copies(lock):
        emit(way, other.locked())
        other.release()
    emit(lock.locked())


@scenario
def events():
    event = asyncio.Event()
    event.set()
    for way, other in copies(event):
        emit(way, other, other.is_set())
        other.clear()
    emit(event.is_set())


@scenario
def semaphores():
    for made in (asyncio.Semaphore(3), asyncio.BoundedSemaphore(1)):
        for way, other in copies(made):
            emit(way, other)
            try:
                other.release()
            except ValueError as exc:
                emit(way, exc)
        emit(made)


@scenario
async def conditions():
    for way, other in copies(asyncio.Condition()):
        emit(way, other)
        async with other:
            emit(other.locked())


@scenario
async def barriers():
    for way, other in copies(asyncio.Barrier(2)):
        emit(way, other, other.parties, other.n_waiting, other.broken)
        if way != "copy":
            await asyncio.gather(other.wait(), other.wait())


@scenario
def queues():
    for cls in (asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue):
        queue = cls(5)
        for item in (2, 1, 3):
            queue.put_nowait(item)
        for way, other in copies(queue):
            emit(cls.__name__, way, other.qsize(), other.maxsize, other.full())
            if way != "copy":
                other.put_nowait(0)
                emit([other.get_nowait() for _ in range(4)])
        emit(queue.qsize())


@scenario
async def a_copied_queue_counts():
    queue = asyncio.Queue()
    queue.put_nowait("item")
    other = copy.deepcopy(queue)
    emit(other.get_nowait())
    other.task_done()
    await other.join()
    try:
        other.task_done()
    except ValueError as exc:
        emit(exc)
    emit(queue.qsize(), queue)


@scenario
def a_queue_with_items_elsewhere():
    queue = Numbered()
    queue.put_nowait(1)
    for way, other in copies(queue):
        emit(way, other.qsize(), other.items is queue.items)
        if way != "copy":
            other.put_nowait(2)
            emit(other.get_nowait(), other.get_nowait(), other.empty())


@scenario
async def somebody_waits():
    """Futures and loops cannot be copied, and so neither can what holds one; but each copy.copy() has the same."""
    lock, queue = asyncio.Lock(), asyncio.Queue()
    await lock.acquire()
    waiting = [asyncio.create_task(lock.acquire()), asyncio.create_task(queue.get())]
    await spin()
    for obj in (lock, queue):
        for way, _ in copies(obj):
            emit(type(obj), way)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@scenario
def state_of_its_own():
    class Counted(asyncio.Event):
        def __getstate__(self):
            return {"given": True}

        def __setstate__(self, state):
            self.__init__()
            self.state = state

    emit(copy.copy(Counted()).state)

    class Reduced(asyncio.Lock):
        def __reduce__(self):
            return asyncio.Lock, ()

    emit(type(copy.deepcopy(Reduced())))
    emit(type(pickle.loads(pickle.dumps(Reduced(), 0))))


@scenario
async def what_cannot_be_copied():
    loop = asyncio.get_running_loop()
    for obj in (loop.create_future(), asyncio.current_task()):
        for way, _ in copies(obj):
            emit(way, "copied")
    # With which words a loop is refused depends on what is in it.
    for obj in (loop, asyncio.StreamReader(), loop.call_later(60, print)):
        for way, function in WAYS.items():
            if way.startswith("pickle"):
                try:
                    emit(way, function(obj))
                except Exception:
                    emit(way, "refused")
