"""Random scripts for locks and queues: many tasks, one director that starts, cancels and lets them run.

A script is a list of steps, and everything that can be observed from outside goes into its trace. The same script
played by stock asyncio and by ferrio must leave the same trace: then no wake-up came earlier, later or to somebody
else. Beside that each test has a model of its own, which says what must hold whoever plays.
"""

import asyncio
import os

import ferrio
from hypothesis import settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FERRIO_EXAMPLES", "150"))
"""How many scripts each test tries; CI's nightly run sets more."""

played = settings(max_examples=EXAMPLES, deadline=None, print_blob=True)

WORLDS = {"stock": asyncio, "ferrio": ferrio}


class Stage:
    """One play: the tasks by number, and the trace."""

    def __init__(self, world):
        self.world = world
        self.tasks = []
        self.trace = []

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
        except (RuntimeError, ValueError, self.world.QueueEmpty, self.world.QueueFull) as exc:
            self.note("raised", number, type(exc).__name__, str(exc))

    def cancel(self, number):
        if self.tasks:
            self.note("cancel", self.tasks[number % len(self.tasks)].cancel())

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
turns = st.tuples(st.just("turns"), st.integers(1, 3))
cancel = st.tuples(st.just("cancel"), numbers)


def steps(*kinds, max_size=40):
    return st.lists(st.one_of(turns, cancel, *kinds), max_size=max_size)
