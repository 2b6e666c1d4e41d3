"""Random scripts for locks and queues: many tasks, one director that starts, cancels and lets them run.

A script is a list of steps, and everything that can be observed from outside goes into its trace. The same script
played by stock asyncio and by ferrio must leave the same trace: then no wake-up came earlier, later or to somebody
else. Beside that each test has a model of its own, which says what must hold on every implementation.
"""

import asyncio

import ferrio
from hypothesis import settings
from hypothesis import strategies as st
from random_scripts import examples

played = settings(max_examples=examples(150))

WORLDS = {"stock": asyncio, "ferrio": ferrio}


class Stage:
    """One play: the tasks by number, and the trace."""

    def __init__(self, world):
        self.world = world
        self.tasks = []
        self.trace = []
        self.broken = []

    def note(self, *event):
        self.trace.append(event)

    def start(self, work):
        """Start `work(number)` as a task whose end is noted."""
        number = len(self.tasks)
        self.tasks.append(self.world.create_task(self._noted(number, work)))

    async def _noted(self, number, work):
        try:
            self.note("done", number, await work(number))
        except self.world.CancelledError:
            self.note("cancelled", number)
        except AssertionError as exc:
            self.broken.append(exc)
        except (RuntimeError, ValueError, self.world.QueueEmpty, self.world.QueueFull) as exc:
            self.note("raised", number, type(exc).__name__, str(exc))

    def cancel(self, number):
        waiting = self.waiting()
        if waiting:
            self.note("cancel", self.tasks[waiting[number % len(waiting)]].cancel())

    async def turns(self, count):
        for _ in range(count):
            await self.world.sleep(0)

    async def settle(self):
        """Until nobody can run any more: long enough for every chain of wake-ups among these tasks."""
        await self.turns(4 * len(self.tasks) + 20)

    def waiting(self):
        return [number for number, task in enumerate(self.tasks) if not task.done()]

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await self.world.gather(*self.tasks, return_exceptions=True)
        # What a task found broken would else be a result among others.
        if self.broken:
            raise self.broken[0]


def play(name, director):
    """The trace of `director(stage)` in the world of that name."""
    world = WORLDS[name]
    stage = Stage(world)

    async def main():
        await director(stage)
        await stage.end()

    with world.Runner() as runner:
        runner.run(main())
    return stage.trace


numbers = st.integers(0, 30)
# "race" steps wake one task and cancel one in the same turn: small numbers hit the one that was woken.
soon = st.integers(0, 2)
turns = st.tuples(st.just("turns"), st.integers(1, 3))
cancel = st.tuples(st.just("cancel"), numbers)


def steps(*groups, max_size=40):
    """Scripts that keep to one group of kinds, or mix all of them, beside turns and cancellations.

    All kinds at once would rarely bring those together that matter: two who wait, a wake-up for the first of them, and
    his cancellation before he has run.
    """
    everything = [kind for group in groups for kind in group]
    # Left alone, hypothesis makes lists of half a dozen: too short for anything to happen.
    return st.sampled_from([*groups, everything]).flatmap(
        lambda group: st.lists(st.one_of(turns, cancel, *group), min_size=12, max_size=max_size)
    )


def kinds(argument, *names):
    """Steps of these names with an argument from `argument`."""
    return [st.tuples(st.just(name), argument) for name in names]
