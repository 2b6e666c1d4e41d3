"""Policies: whose loop is made, set and asked for; the names by which programs know them; generators as coroutines."""

import asyncio
import inspect
import sys
import threading
import types
import unittest
import warnings
from contextlib import contextmanager

from observe import attempt, emit, new_loop, scenario

events = asyncio.events
if sys.version_info >= (3, 14):
    # Without the warnings of the public names.
    get_policy, set_policy = events._get_event_loop_policy, events._set_event_loop_policy
    AbstractPolicy = events._AbstractEventLoopPolicy
    DefaultPolicy = asyncio.unix_events._DefaultEventLoopPolicy
else:
    get_policy, set_policy = asyncio.get_event_loop_policy, asyncio.set_event_loop_policy
    AbstractPolicy, DefaultPolicy = asyncio.AbstractEventLoopPolicy, asyncio.DefaultEventLoopPolicy


class Recording(AbstractPolicy):
    """A policy from scratch, which writes down what it is asked."""

    def __init__(self, label="policy"):
        self.label = label
        self.loop = None

    def get_event_loop(self):
        emit(self.label, "get_event_loop")
        if self.loop is None:
            self.loop = self.new_event_loop()
        return self.loop

    def set_event_loop(self, loop):
        emit(self.label, "set_event_loop", loop is not None)
        self.loop = loop

    def new_event_loop(self):
        emit(self.label, "new_event_loop")
        return asyncio.SelectorEventLoop()


class Derived(DefaultPolicy):
    """As most programs do it."""

    def new_event_loop(self):
        emit("Derived.new_event_loop")
        return super().new_event_loop()

    def set_event_loop(self, loop):
        emit("Derived.set_event_loop", loop is not None)
        super().set_event_loop(loop)


@contextmanager
def policy(made):
    set_policy(made)
    try:
        yield made
    finally:
        set_policy(None)


async def nothing():
    return "nothing"


@scenario
def default():
    made = get_policy()
    emit(made is get_policy(), isinstance(made, AbstractPolicy), isinstance(made, DefaultPolicy))
    # ferrio's has a mixin for child watchers.
    emit([cls.__name__ for cls in type(made).__mro__[1:] if cls.__name__ != "WatcherPolicy"])
    emit(events._event_loop_policy is made)
    set_policy(None)
    emit(events._event_loop_policy, get_policy() is made)


@scenario
def not_a_policy():
    attempt("a number", set_policy, 3)
    attempt("a class", set_policy, DefaultPolicy)
    emit(isinstance(get_policy(), DefaultPolicy))


@scenario
def functions_ask_it():
    with policy(Recording()) as made:
        loop = asyncio.new_event_loop()
        emit(asyncio.get_event_loop() is made.loop)
        made.loop.close()
        asyncio.set_event_loop(loop)
        emit(asyncio.get_event_loop() is loop)
        asyncio.set_event_loop(None)
        loop.close()


@scenario
def run_asks_it():
    for made in Recording(), Derived():
        with policy(made):
            emit(asyncio.run(nothing()))
            emit(asyncio.run(nothing()))


@scenario
def runner_asks_it():
    for made in Recording(), Derived():
        with policy(made), asyncio.Runner() as runner:
            emit("made")
            emit(runner.run(nothing()))
            emit(runner.run(nothing()))


@scenario
def runner_with_a_factory_does_not():
    with policy(Recording()), asyncio.Runner(loop_factory=new_loop) as runner:
        emit(runner.run(nothing()))


@scenario
def the_running_loop_wins():
    async def main():
        emit(asyncio.get_event_loop() is asyncio.get_running_loop())
        emit(asyncio.new_event_loop().close())

    with policy(Recording()):
        asyncio.run(main())


@scenario
def futures_and_tasks_ask_it():
    with policy(Recording()) as made:
        future = asyncio.Future()
        emit(future.get_loop() is made.loop)
        task = asyncio.ensure_future(nothing(), loop=made.loop)
        emit(made.loop.run_until_complete(task))
        made.loop.close()


@scenario
def abstract_methods():
    class Incomplete(AbstractPolicy):
        pass

    with policy(Incomplete()):
        attempt("get", asyncio.get_event_loop)
        attempt("set", asyncio.set_event_loop, None)
        attempt("new", asyncio.new_event_loop)


@scenario
def a_policy_in_other_threads():
    def work():
        attempt("default", asyncio.get_event_loop)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        emit(asyncio.get_event_loop() is loop)
        asyncio.set_event_loop(None)
        attempt("after None", asyncio.get_event_loop)
        loop.close()

    with policy(Derived()):
        thread = threading.Thread(target=work, name="other")
        thread.start()
        thread.join()


@scenario
def test_cases_ask_it():
    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_it(self):
            emit("test")

    with policy(Recording()):
        result = unittest.TestResult()
        Case("test_it").run(result)
        emit(result.wasSuccessful())


@scenario
def warnings_of_the_public_names():
    def ask(label, function):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found = function()
            except Exception as exc:
                emit(label, exc)
                return None
        emit(label, [(w.category, str(w.message), w.filename == __file__) for w in caught])
        return found

    made = ask("get_event_loop_policy", lambda: asyncio.get_event_loop_policy())
    ask("set_event_loop_policy", lambda: asyncio.set_event_loop_policy(None))
    ask("set_event_loop_policy of a number", lambda: asyncio.set_event_loop_policy(3))
    for name in "AbstractEventLoopPolicy", "DefaultEventLoopPolicy":
        cls = ask(name, lambda name=name: getattr(asyncio, name))
        emit(isinstance(made, cls), cls.__name__)
    ask("iscoroutinefunction", lambda: asyncio.iscoroutinefunction(nothing))
    ask("new_event_loop", lambda: asyncio.new_event_loop().close())
    ask("set_event_loop", lambda: asyncio.set_event_loop(None))
    for name in "WindowsSelectorEventLoopPolicy", "ThreadedChildWatcher", "get_child_watcher", "coroutine":
        emit(name, hasattr(asyncio, name))


# Generators


@types.coroutine
def generator(value):
    slept = yield from asyncio.sleep(0, value)
    future = asyncio.get_running_loop().create_future()
    future.set_result(1)
    return slept + (yield from future)


@scenario
async def generators_are_awaited():
    emit(await generator(1))
    emit(await asyncio.ensure_future(generator(2)))
    emit(await asyncio.gather(generator(3), generator(4)))
    emit(await asyncio.wait_for(generator(5), 10))
    emit(await asyncio.shield(generator(6)))

    @types.coroutine
    def all_of_them():
        lock, queue, event = asyncio.Lock(), asyncio.Queue(), asyncio.Event()
        yield from lock.acquire()
        yield from queue.put(3)
        event.set()
        yield from event.wait()
        done, _ = yield from asyncio.wait([asyncio.ensure_future(generator(1))])
        return (yield from queue.get()), len(done), (yield from asyncio.to_thread(int, "4"))

    emit(await all_of_them())


@scenario
async def generators_are_coroutines():
    for made in generator, generator(0):
        emit(asyncio.iscoroutine(made), inspect.isawaitable(made))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            emit(asyncio.iscoroutinefunction(made))


@scenario
def generators_are_run():
    attempt("run", asyncio.run, generator(1))
    loop = new_loop()
    attempt("run_until_complete", loop.run_until_complete, generator(2))
    attempt("create_task", loop.create_task, generator(3))
    for task in asyncio.all_tasks(loop):
        emit(loop.run_until_complete(task))
    attempt("Task", lambda: asyncio.Task(generator(4), loop=loop).done())
    for task in asyncio.all_tasks(loop):
        emit(loop.run_until_complete(task))
    loop.close()


@scenario
def plain_generators():
    def plain():
        yield
        return 3

    attempt("run", asyncio.run, plain())
    emit(asyncio.iscoroutine(plain()))


@scenario(
    differs="A coroutine of ferrio's own, such as `sleep()`, is an iterator too. So a plain generator "
    "can `yield from` it, where asyncio raises `TypeError`. Generators marked by `types.coroutine` need that.",
    expected=[["event", "without a decorator", "returned", None]],
)
async def generators_that_yield_from_in_vain():
    def plain():
        yield from asyncio.sleep(0)

    attempt("without a decorator", next, plain())
