"""`ferrio.legacy.coroutine`: programs in the way of asyncio's first edition (Python 3.4), with `yield from`.

The programs are those that one finds in books and answers of that time: a greeting, coroutines in a chain, a future
that is filled in, several tasks, streams, a queue between producer and consumer, locks.
"""

import inspect
import types
import warnings

import ferrio
import pytest
from ferrio import legacy


@pytest.fixture
def loop():
    loop = ferrio.new_event_loop()
    yield loop
    loop.close()


@legacy.coroutine
def add(x, y):
    """Add, after a while."""
    yield from ferrio.sleep(0)
    return x + y


@legacy.coroutine
def add_all(*numbers):
    total = 0
    for number in numbers:
        total = yield from add(total, number)
    return total


# The programs


def test_hello(loop):
    said = []

    @legacy.coroutine
    def hello():
        for word in "Hello", "world":
            said.append(word)
            yield from ferrio.sleep(0)

    assert loop.run_until_complete(hello()) is None
    assert said == ["Hello", "world"]


def test_coroutines_in_a_chain(loop):
    @legacy.coroutine
    def show(x, y):
        result = yield from add(x, y)
        return f"{x} + {y} = {result}"

    assert loop.run_until_complete(show(1, 2)) == "1 + 2 = 3"


def test_a_future_that_is_filled_in(loop):
    seen = []

    @legacy.coroutine
    def slow_operation(future):
        yield from ferrio.sleep(0)
        future.set_result("done")

    def got_result(future):
        seen.append(future.result())
        loop.stop()

    future = loop.create_future()
    ferrio.ensure_future(slow_operation(future), loop=loop)
    future.add_done_callback(got_result)
    loop.run_forever()
    assert seen == ["done"]


def test_tasks_beside_each_other(loop):
    order = []

    @legacy.coroutine
    def factorial(name, number):
        product = 1
        for i in range(2, number + 1):
            order.append((name, i))
            yield from ferrio.sleep(0)
            product *= i
        return name, product

    tasks = [
        ferrio.Task(factorial("A", 2), loop=loop),
        loop.create_task(factorial("B", 3)),
        ferrio.ensure_future(factorial("C", 4), loop=loop),
    ]
    loop.run_until_complete(ferrio.wait(tasks))
    assert sorted(task.result() for task in tasks) == [("A", 2), ("B", 6), ("C", 24)]
    assert order == [("A", 2), ("B", 2), ("C", 2), ("B", 3), ("C", 3), ("C", 4)]


def test_streams(loop):
    @legacy.coroutine
    def handle_echo(reader, writer):
        data = yield from reader.read(100)
        writer.write(data.upper())
        yield from writer.drain()
        writer.close()

    @legacy.coroutine
    def client(address, message):
        reader, writer = yield from ferrio.open_connection(*address)
        writer.write(message.encode())
        data = yield from reader.read(100)
        writer.close()
        yield from writer.wait_closed()
        return data.decode()

    server = loop.run_until_complete(ferrio.start_server(handle_echo, "127.0.0.1", 0))
    address = server.sockets[0].getsockname()
    assert loop.run_until_complete(client(address, "hello")) == "HELLO"
    server.close()
    loop.run_until_complete(server.wait_closed())


def test_a_queue_a_lock_and_a_time_limit(loop):
    got = []

    @legacy.coroutine
    def produce(queue):
        for i in range(3):
            yield from queue.put(i)
        yield from queue.put(None)

    @legacy.coroutine
    def consume(queue, lock):
        while True:
            item = yield from queue.get()
            if item is None:
                break
            yield from lock.acquire()
            try:
                got.append(item)
            finally:
                lock.release()

    @legacy.coroutine
    def main():
        queue, lock = ferrio.Queue(1), ferrio.Lock()
        yield from ferrio.gather(produce(queue), consume(queue, lock))
        try:
            yield from ferrio.wait_for(queue.get(), 0.001)
        except ferrio.TimeoutError:
            return "timed out"

    assert loop.run_until_complete(main()) == "timed out"
    assert got == [0, 1, 2]


def test_an_executor(loop):
    @legacy.coroutine
    def main():
        return (yield from loop.run_in_executor(None, pow, 2, 5))

    assert loop.run_until_complete(main()) == 32


def test_a_protocol_of_the_time(loop):
    """Callbacks and a loop that is stopped by hand, in `run_forever()`."""
    seen = []

    def again(number):
        seen.append(number)
        if number:
            loop.call_later(0, again, number - 1)
        else:
            loop.stop()

    loop.call_soon(again, 2)
    loop.run_forever()
    assert seen == [2, 1, 0]


# What a decorated function is, and returns


def test_with_await_and_in_generators_without_a_decorator():
    def helper(x):
        return (yield from add(x, 1))

    @types.coroutine
    def flagged(x):
        return (yield from add(x, 1))

    @legacy.coroutine
    def main():
        one = yield from helper(1)
        two = yield from flagged(one)
        three = yield from asynchronous(two)
        return three

    async def asynchronous(x):
        return await add(x, 1)

    assert ferrio.run(main()) == 4
    assert ferrio.run(asynchronous(1)) == 2


def test_a_function_that_is_no_generator():
    called = []

    @legacy.coroutine
    def returns(value):
        called.append(value)
        return value

    async def main():
        future = ferrio.get_running_loop().create_future()
        future.set_result("future")
        coroutine = returns("later")
        assert called == []
        found = [await coroutine]
        for value in 3, future, add(1, 2), ferrio.sleep(0, "slept"), add_all(1, 2, 3), Awaitable():
            found.append(await returns(value))
        return found

    class Awaitable:
        def __await__(self):
            yield from ferrio.sleep(0).__await__()
            return "awaitable"

    assert ferrio.run(main()) == ["later", 3, "future", 3, "slept", 6, "awaitable"]


def test_a_coroutine_function_stays_what_it_is():
    async def modern():
        pass

    assert legacy.coroutine(modern) is modern


@pytest.mark.parametrize(
    "kind", ["run", "create_task", "ensure_future", "gather", "wait_for", "shield", "group"]
)
def test_wherever_a_coroutine_is_taken(kind):
    async def main():
        if kind == "create_task":
            return await ferrio.create_task(add(1, 2))
        if kind == "ensure_future":
            return await ferrio.ensure_future(add(1, 2))
        if kind == "gather":
            return (await ferrio.gather(add(1, 2)))[0]
        if kind == "wait_for":
            return await ferrio.wait_for(add(1, 2), 10)
        if kind == "shield":
            return await ferrio.shield(add(1, 2))
        async with ferrio.TaskGroup() as group:
            task = group.create_task(add(1, 2))
        return task.result()

    assert ferrio.run(add(1, 2) if kind == "run" else main()) == 3


def test_how_it_describes_itself():
    assert add.__name__ == "add"
    assert add.__doc__ == "Add, after a while."
    assert str(inspect.signature(add)) == "(x, y)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert ferrio.iscoroutinefunction(add)
    coroutine = add(1, 2)
    assert ferrio.iscoroutine(coroutine)
    assert inspect.isawaitable(coroutine)
    assert repr(coroutine).startswith("<coroutine object add at 0x")
    assert coroutine.__name__ == "add"
    assert coroutine.gi_code is coroutine.cr_code
    assert coroutine.cr_code.co_name == "add"
    assert not coroutine.cr_running

    async def main():
        task = ferrio.create_task(add(1, 2))
        await ferrio.sleep(0)
        assert f"coro=<add() running at {__file__}:" in repr(task)
        return await task

    assert ferrio.run(main()) == 3
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        add(1)
    with pytest.raises(TypeError, match="decorates a function"):
        legacy.coroutine(3)


def test_a_method(loop):
    class Counter:
        count = 0

        @legacy.coroutine
        def increase(self, by=1):
            yield from ferrio.sleep(0)
            self.count += by
            return self.count

        @classmethod
        @legacy.coroutine
        def make(cls):
            yield from ferrio.sleep(0)
            return cls()

    counter = loop.run_until_complete(Counter.make())
    assert loop.run_until_complete(counter.increase(by=2)) == 2


def test_cancelled_and_closed(loop):
    seen = []

    @legacy.coroutine
    def waits():
        try:
            yield from loop.create_future()
        except BaseException as exc:
            seen.append(type(exc))
            raise

    task = loop.create_task(waits())
    loop.call_soon(task.cancel)
    with pytest.raises(ferrio.CancelledError):
        loop.run_until_complete(task)
    coroutine = waits()
    future = coroutine.send(None)
    assert isinstance(future, ferrio.Future)
    coroutine.close()
    coroutine.close()
    assert seen == [ferrio.CancelledError, GeneratorExit]
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coroutine.send(None)
    unstarted = waits()
    with pytest.raises(ZeroDivisionError):
        unstarted.throw(ZeroDivisionError())
    assert seen[2:] == []


def test_errors_pass_through(loop):
    @legacy.coroutine
    def fails():
        yield from ferrio.sleep(0)
        raise ZeroDivisionError

    @legacy.coroutine
    def fails_at_once():
        raise ZeroDivisionError

    @legacy.coroutine
    def catches(coroutine):
        try:
            yield from coroutine
        except ZeroDivisionError:
            return "caught"

    assert loop.run_until_complete(catches(fails())) == "caught"
    assert loop.run_until_complete(catches(fails_at_once())) == "caught"
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(fails())


def test_what_is_dropped_is_collected(loop):
    import gc
    import weakref

    @legacy.coroutine
    def waits():
        yield from ferrio.sleep(3600)

    coroutine = waits()
    cycle = [coroutine]
    cycle.append(cycle)
    seen = weakref.ref(coroutine)
    del coroutine, cycle
    gc.collect()
    assert seen() is None


def test_stock_asyncio_takes_it_too(program):
    assert (
        program(
            """
            import asyncio
            from ferrio import legacy

            @legacy.coroutine
            def main():
                yield from asyncio.sleep(0)
                return 3

            print(asyncio.run(main()))
            """
        )
        == "3"
    )
