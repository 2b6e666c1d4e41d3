"""Queues under random scripts: stock's trace, and no item lost, none twice, none out of order, nobody left waiting."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "locks"))
from script import WORLDS, kinds, numbers, play, played, soon, steps

# shutdown() came with 3.13: on older Pythons only ferrio has it.
SHUTDOWN = sys.version_info >= (3, 13)


class Model:
    """What a queue of each kind gives next."""

    def __init__(self, kind):
        self.kind, self.items = kind, []

    def put(self, item):
        self.items.append(item)

    def get(self):
        if self.kind == "Queue":
            return self.items.pop(0)
        if self.kind == "LifoQueue":
            return self.items.pop()
        self.items.sort()
        return self.items.pop(0)


def queue_director(kind, maxsize, script, subclass):
    async def director(stage):
        model = Model(kind)
        base = getattr(stage.world, kind)

        class Modelled(base):
            """Looks over the queue's shoulder: `_put` and `_get` are when an item really goes in and out."""

            def _put(self, item):
                model.put(item)
                super()._put(item)

            def _get(self):
                item = super()._get()
                assert item == model.get()
                return item

        queue = (Modelled if subclass else base)(maxsize)
        put, got = [], []
        shut_down = False

        async def put_item(number):
            item = (number * 7 % 5, number)
            try:
                await queue.put(item)
            except ferrio_shutdown(stage.world):
                return "shut down"
            put.append(item)
            return None

        async def get_item(number):
            try:
                item = await queue.get()
            except ferrio_shutdown(stage.world):
                return "shut down"
            got.append(item)
            queue.task_done()
            return item

        async def put_now(number):
            item = (number * 7 % 5, number)
            try:
                queue.put_nowait(item)
            except ferrio_shutdown(stage.world):
                return "shut down"
            put.append(item)
            return None

        async def get_now(number):
            try:
                item = queue.get_nowait()
            except ferrio_shutdown(stage.world):
                return "shut down"
            got.append(item)
            queue.task_done()
            return item

        async def join(number):
            await queue.join()

        works = {"put": put_item, "get": get_item, "put_now": put_now, "get_now": get_now, "join": join}
        for what, argument in script:
            if what in works:
                stage.start(works[what])
            elif what == "cancel":
                stage.cancel(argument)
            elif what in ("put_here", "put_race") and not queue.full() and not shut_down:
                # In the director's own turn, so that a cancellation can meet a task that was woken and has not run.
                put.append((argument * 7 % 5, -argument))
                queue.put_nowait(put[-1])
                if what == "put_race":
                    stage.cancel(argument)
            elif what in ("get_here", "get_race") and not queue.empty():
                got.append(queue.get_nowait())
                queue.task_done()
                if what == "get_race":
                    stage.cancel(argument)
            elif what == "shutdown":
                queue.shutdown()
                shut_down = True
            elif what == "turns":
                await stage.turns(argument)
            assert not maxsize or queue.qsize() <= maxsize, "more items than there is room for"
            stage.note(queue.qsize(), queue.empty(), queue.full(), len(queue._getters), len(queue._putters))
        await stage.settle()
        # At rest nobody waits for what is there.
        assert queue.empty() or not queue._getters, (
            "a wake-up was lost: an item lies here, and somebody waits for one"
        )
        assert queue.full() or not queue._putters, (
            "a wake-up was lost: there is room, and somebody waits for it"
        )
        assert not shut_down or not (queue._getters or queue._putters), "shut down, and somebody still waits"
        while not queue.empty():
            got.append(queue.get_nowait())
            queue.task_done()
            await stage.settle()
        assert sorted(got) == sorted(put), "an item was lost, or came twice"
        if kind == "Queue":
            assert got == put, "somebody was overtaken"
        stage.note("got", *got)

    return director


def ferrio_shutdown(world):
    """The exception of shutdown(), which stock has only since 3.13."""
    return getattr(world, "QueueShutDown", ())


queue_steps = (
    kinds(numbers, "get") + kinds(soon, "put_here", "put_race"),
    kinds(numbers, "put", "put") + kinds(soon, "get_here", "get_race"),
    kinds(numbers, "put", "get", "put_now", "get_now", "join"),
)


@pytest.mark.parametrize("subclass", [False, True], ids=["plain", "subclass"])
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
@played
@given(st.integers(0, 3), steps(*queue_steps))
def test_queue(kind, subclass, maxsize, script):
    director = queue_director(kind, maxsize, script, subclass)
    assert play("ferrio", director) == play("stock", director)


@pytest.mark.parametrize("kind", ["Queue", "PriorityQueue"])
@played
@given(st.integers(0, 3), steps(*queue_steps, kinds(numbers, "get", "put", "shutdown")))
def test_queue_with_shutdown(kind, maxsize, script):
    director = queue_director(kind, maxsize, script, False)
    ours = play("ferrio", director)
    if SHUTDOWN:
        assert ours == play("stock", director)


@played
@given(st.integers(1, 3), st.lists(st.sampled_from([0, 0.0002, 0.001, None]), max_size=12))
def test_timeouts_lose_no_item(maxsize, limits):
    """No trace to compare, since time decides: what was put is got, once and in order."""
    world = WORLDS["ferrio"]

    async def main():
        queue = world.Queue(maxsize)
        put, got = [], []

        async def produce(number, limit):
            try:
                async with world.timeout(limit):
                    await queue.put(number)
                    put.append(number)
            except TimeoutError:
                return

        async def consume():
            while True:
                try:
                    got.append(await world.wait_for(queue.get(), 0.0005))
                except TimeoutError:
                    continue
                except world.QueueShutDown:
                    return

        consumers = [world.create_task(consume()) for _ in range(2)]
        await world.gather(*[produce(*pair) for pair in enumerate(limits)])
        queue.shutdown()
        await world.gather(*consumers)
        assert sorted(got) == sorted(put)

    world.run(main())
