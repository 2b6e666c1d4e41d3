"""Lock, Event, Semaphore, Condition, Barrier under random scripts: stock's trace, and what must hold in any case."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from script import WORLDS, kinds, numbers, play, played, soon, steps

# Before 3.13 stock lost wake-ups of conditions and admitted out of order (gh-112202, gh-111693): ferrio has the newest
# behaviour on every Python, so these are compared with the newest stock only.
NEWEST = sys.version_info >= (3, 13)


def same_trace(director, compared=True):
    """Plays in both worlds where they are to agree, else in ours; gives our trace."""
    ours = play("ferrio", director)
    if compared:
        assert ours == play("stock", director)
    return ours


# -- Lock -----------------------------------------------------------------------


def lock_director(script):
    async def director(stage):
        lock, holders = stage.world.Lock(), []

        async def work(number):
            await lock.acquire()
            holders.append(number)
            assert len(holders) == 1, "two hold the lock"
            stage.note("got", number)
            return lock.locked()

        async def block(number):
            async with lock:
                assert not holders, "two hold the lock"
                stage.note("inside", number)
                await stage.world.sleep(0)

        def release():
            if holders:
                holders.pop()
                lock.release()
                stage.note("released")

        for kind, argument in script:
            if kind == "acquire":
                stage.start(work)
            elif kind == "block":
                stage.start(block)
            elif kind == "release":
                release()
            elif kind == "race":
                release()
                stage.cancel(argument)
            elif kind == "cancel":
                stage.cancel(argument)
            else:
                await stage.turns(argument)
            stage.note(lock.locked(), len(lock._waiters or ()))
        await stage.settle()
        # However it went: each task that was not cancelled gets it, one after the other.
        while holders:
            release()
            await stage.settle()
        assert stage.waiting() == []
        assert not lock.locked()

    return director


@played
@given(steps(kinds(numbers, "acquire") + kinds(soon, "release", "race"), kinds(numbers, "block")))
def test_lock(script):
    trace = same_trace(lock_director(script))
    got = [event[1] for event in trace if event[0] in ("got", "inside")]
    assert got == sorted(got), "somebody was overtaken"


# -- Semaphore ------------------------------------------------------------------


def semaphore_director(value, script):
    async def director(stage):
        semaphore, holders = stage.world.Semaphore(value), []
        released = 0

        async def work(number):
            await semaphore.acquire()
            holders.append(number)
            assert len(holders) <= value + released, "more were admitted than there are places"
            stage.note("got", number)

        for kind, argument in script:
            if kind == "acquire":
                stage.start(work)
            elif kind in ("release", "race") and holders:
                holders.pop(0)
                semaphore.release()
                if kind == "race":
                    stage.cancel(argument)
            elif kind == "grow":
                released += 1
                semaphore.release()
            elif kind == "rush":
                # A task that comes now runs before those woken now: it finds a free place and a task before it.
                for _ in range(argument):
                    stage.start(work)
                for _ in range(argument + 1):
                    released += 1
                    semaphore.release()
            elif kind == "cancel":
                stage.cancel(argument)
            elif kind == "turns":
                await stage.turns(argument)
            stage.note(semaphore.locked(), semaphore._value)
        await stage.settle()
        assert not (semaphore._value and stage.waiting()), "a place is free, and somebody waits for one"
        while holders:
            holders.pop(0)
            semaphore.release()
            await stage.settle()
        if value + released:
            assert stage.waiting() == []
        assert semaphore._value == value + released, "a place was lost or won"

    return director


@played
@given(
    st.integers(0, 3),
    steps(kinds(numbers, "acquire") + kinds(soon, "release", "race"), kinds(soon, "grow", "rush")),
)
def test_semaphore(value, script):
    trace = same_trace(semaphore_director(value, script), compared=NEWEST)
    got = [event[1] for event in trace if event[0] == "got"]
    assert got == sorted(got), "somebody was overtaken"


# -- Event ----------------------------------------------------------------------


def event_director(script):
    async def director(stage):
        event = stage.world.Event()

        async def work(number):
            return await event.wait()

        for kind, argument in script:
            if kind == "wait":
                stage.start(work)
            elif kind == "set":
                event.set()
            elif kind == "clear":
                event.clear()
            elif kind == "cancel":
                stage.cancel(argument)
            else:
                await stage.turns(argument)
            stage.note(event.is_set(), len(event._waiters))
        event.set()
        await stage.settle()
        assert stage.waiting() == []
        assert len(event._waiters) == 0

    return director


@played
@given(steps(kinds(numbers, "wait", "set", "clear")))
def test_event(script):
    same_trace(event_director(script))


# -- Condition ------------------------------------------------------------------


def condition_director(script):
    async def director(stage):
        condition = stage.world.Condition()
        state = {"ticks": 0}
        inside = []

        def enter(number):
            inside.append(number)
            assert len(inside) == 1, "two hold the lock"

        async def wait(number):
            async with condition:
                enter(number)
                try:
                    inside.pop()
                    return await condition.wait()
                finally:
                    enter(number)
                    stage.note("out", number)
                    inside.pop()

        async def wait_for(number):
            async with condition:
                return await condition.wait_for(lambda: state["ticks"] > number % 3)

        async def hold(number):
            async with condition:
                enter(number)
                try:
                    await stage.turns(2)
                finally:
                    inside.pop()

        async def notify(number):
            async with condition:
                state["ticks"] += 1
                condition.notify(number % 3)
                stage.note("notified", number % 3)

        async def wrong(number):
            if not condition.locked():
                condition.notify()

        works = {"wait": wait, "wait_for": wait_for, "hold": hold, "notify": notify, "wrong": wrong}
        for kind, argument in script:
            if kind in works:
                stage.start(works[kind])
            elif kind == "cancel":
                stage.cancel(argument)
            else:
                await stage.turns(argument)
            stage.note(condition.locked(), len(condition._waiters))
        await stage.settle()
        state["ticks"] += 3
        async with condition:
            condition.notify_all()
        await stage.settle()
        assert stage.waiting() == []
        assert not condition.locked()

    return director


@played
@given(steps(kinds(numbers, "wait", "notify"), kinds(numbers, "wait_for", "hold"), kinds(numbers, "wrong")))
def test_condition(script):
    same_trace(condition_director(script), compared=NEWEST)


# -- Barrier --------------------------------------------------------------------


def barrier_director(parties, script):
    async def director(stage):
        barrier = stage.world.Barrier(parties)

        async def wait(number):
            return await barrier.wait()

        async def reset(number):
            await barrier.reset()

        async def abort(number):
            await barrier.abort()

        works = {"wait": wait, "reset": reset, "abort": abort}
        for kind, argument in script:
            if kind in works:
                stage.start(works[kind])
            elif kind == "cancel":
                stage.cancel(argument)
            else:
                await stage.turns(argument)
            stage.note(barrier.n_waiting, barrier.broken)
        await stage.settle()
        assert len(stage.waiting()) < parties, "enough have come, and they still wait"
        await barrier.reset()
        await stage.settle()
        assert stage.waiting() == []

    return director


@pytest.mark.parametrize("parties", [1, 2, 3])
@played
@given(steps(kinds(numbers, "wait"), kinds(numbers, "reset", "abort")))
def test_barrier(parties, script):
    same_trace(barrier_director(parties, script), compared=NEWEST)


# -- with time ------------------------------------------------------------------


@played
@given(
    st.lists(st.tuples(st.sampled_from([0, 0.0002, 0.001, None]), st.integers(0, 3)), max_size=15),
    st.integers(1, 3),
)
def test_timeouts_lose_no_place(workers, value):
    """No trace to compare, since time decides: nobody is admitted beyond the limit, and all places are free after."""
    world = WORLDS["ferrio"]

    async def main():
        semaphore = world.BoundedSemaphore(value)
        inside = 0

        async def worker(limit, turns):
            nonlocal inside
            try:
                async with world.timeout(limit), semaphore:
                    inside += 1
                    assert inside <= value
                    try:
                        for _ in range(turns):
                            await world.sleep(0)
                    finally:
                        inside -= 1
            except TimeoutError:
                assert limit is not None

        await world.gather(*[worker(*arguments) for arguments in workers])
        assert semaphore._value == value
        assert not semaphore.locked()

    world.run(main())
