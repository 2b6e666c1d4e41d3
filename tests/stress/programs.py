"""What the stress tests run, one process each: ``programs.py NAME SEED``; no output and status 0 is a pass.

Threads, signals and the loop are thrown against each other, and what is checked is what has to hold in every
interleaving: everything runs exactly once, in each sender's order, and nothing is lost when the loop sleeps.  Nothing
here looks at a clock.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import os
import random
import signal
import socket
import sys
import threading
import time

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


@contextlib.contextmanager
def threads(*targets):
    """Run callables in threads for the length of the block; an exception in one fails the program."""
    failures = []

    def guarded(target):
        try:
            target()
        except BaseException as exc:
            failures.append(exc)

    running = [threading.Thread(target=guarded, args=(target,)) for target in targets]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        for thread in running:
            thread.join()
    if failures:
        raise failures[0]


@program
def call_soon_threadsafe(rng):
    """Each call of each thread runs once, in that thread's order, on the loop's thread."""
    loop = asyncio.new_event_loop()
    workers, calls = 6, 4000
    got = collections.defaultdict(list)
    left = workers

    def received(worker, number):
        assert threading.get_ident() == main
        got[worker].append(number)

    def finished():
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    def send(worker):
        for number in range(calls):
            loop.call_soon_threadsafe(received, worker, number)
        loop.call_soon_threadsafe(finished)

    main = threading.get_ident()
    with threads(*(lambda w=w: send(w) for w in range(workers))):
        loop.run_forever()
    assert got == {w: list(range(calls)) for w in range(workers)}
    loop.close()


@program
def wake_a_sleeping_loop(rng):
    """One thread and the loop hand a ball to and fro: a wake-up that is lost hangs the program."""
    loop = asyncio.new_event_loop()
    rounds = 3000
    ball = threading.Semaphore(0)
    seen = []

    def back(number):
        seen.append(number)
        ball.release()
        if number == rounds - 1:
            loop.stop()

    def serve():
        for number in range(rounds):
            loop.call_soon_threadsafe(back, number)
            ball.acquire()

    with threads(serve):
        loop.run_forever()
    assert seen == list(range(rounds))
    loop.close()


@program
def threadsafe_against_local_work(rng):
    """Calls from outside get through while the loop is never idle, and their handles can be cancelled."""
    loop = asyncio.new_event_loop()
    calls = 3000
    ran, kept = [], []
    done = threading.Event()

    def spin():
        if not done.is_set():
            loop.call_soon(spin)

    def send():
        for number in range(calls):
            handle = loop.call_soon_threadsafe(ran.append, number)
            if number % 3 == 0:
                handle.cancel()
            kept.append(handle)
        loop.call_soon_threadsafe(done.set)
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(spin)
    with threads(send):
        loop.run_forever()
    # A handle may have run before its cancel(); one that was not cancelled has run exactly once, in order.
    assert ran == sorted(set(ran))
    assert set(range(calls)) - set(ran) <= set(range(0, calls, 3))
    loop.close()


@program
def closing_against_threadsafe(rng):
    """A loop closed under the senders' hands: each call either goes in or raises RuntimeError."""
    for _ in range(60):
        loop = asyncio.new_event_loop()
        counts = collections.Counter()

        def send(loop=loop, counts=counts):
            accepted = 0
            try:
                while True:
                    loop.call_soon_threadsafe(counts.update, ["ran"])
                    accepted += 1
                    if accepted % 50 == 0:
                        # Two threads can queue faster than one can run what they queue: without a pause the queue
                        # grows for as long as the loop is open.
                        time.sleep(0.0005)
            except RuntimeError as exc:
                assert str(exc) == "Event loop is closed", exc
            counts[f"accepted by {threading.get_ident()}"] = accepted

        with threads(send, send):
            for _ in range(rng.randrange(5)):
                loop.call_soon(loop.stop)
                loop.run_forever()
            loop.close()
        ran = counts.pop("ran", 0)
        assert ran <= sum(counts.values())


@program
def run_coroutine_threadsafe(rng):
    """Results, exceptions and cancellations all find their way back to the right thread."""
    loop = asyncio.new_event_loop()
    workers, calls = 4, 400

    async def work(number):
        for _ in range(number % 3):
            await asyncio.sleep(0)
        if number % 5 == 0:
            raise ValueError(number)
        return number

    def ask(worker):
        for number in range(worker, calls * workers, workers):
            future = asyncio.run_coroutine_threadsafe(work(number), loop)
            try:
                assert future.result(60) == number and number % 5
            except ValueError as exc:
                assert exc.args == (number,) and number % 5 == 0

    def cancel():
        for _ in range(calls):
            future = asyncio.run_coroutine_threadsafe(asyncio.sleep(3600), loop)
            if future.cancel():
                assert future.cancelled()

    def all_of_it():
        with threads(cancel, *(lambda w=w: ask(w) for w in range(workers))):
            pass
        loop.call_soon_threadsafe(loop.stop)

    with threads(all_of_it):
        loop.run_forever()
    # Cancelling on the other side takes a turn or two to reach the task.
    while left := asyncio.all_tasks(loop):
        loop.run_until_complete(asyncio.wait(left))
    loop.close()


@program
def executor(rng):
    """Thousands of executor calls, some cancelled, none lost and none mixed up."""

    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            futures = [loop.run_in_executor(pool, lambda i=i: i * i) for i in range(4000)]
            chosen = rng.sample(range(4000), 400)
            for i in chosen:
                futures[i].cancel()
            results = await asyncio.gather(*futures, return_exceptions=True)
        for i, result in enumerate(results):
            if futures[i].cancelled():
                assert i in chosen and isinstance(result, asyncio.CancelledError)
            else:
                assert result == i * i
        assert await asyncio.gather(*(asyncio.to_thread(pow, i, 2) for i in range(500))) == [
            i * i for i in range(500)
        ]

    asyncio.run(main())


@program
def many_loops_in_threads(rng):
    """A loop per thread at once, each with its own tasks, timers and sockets, and its own current task."""

    async def main(number):
        me = asyncio.current_task()
        a, b = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=a)
        b.setblocking(False)
        loop = asyncio.get_running_loop()
        for i in range(100):
            writer.write(b"%d %d\n" % (number, i))
            assert await loop.sock_recv(b, 100) == b"%d %d\n" % (number, i)
            await asyncio.sleep(0 if i % 10 else 0.0001)
            assert asyncio.current_task() is me and asyncio.all_tasks() == {me}
            assert asyncio.get_running_loop() is loop
        writer.close()
        await writer.wait_closed()
        b.close()
        assert await reader.read() == b""

    for _ in range(3):
        with threads(*(lambda n=n: asyncio.run(main(n)) for n in range(6))):
            pass


@program
def signal_storm(rng):
    """Signals in hundreds: handlers run on the loop, none starves it, and the last of each is never lost."""
    counts = collections.Counter()
    signals = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

    async def main():
        loop = asyncio.get_running_loop()
        main_thread = threading.get_ident()

        def handler(number):
            assert threading.get_ident() == main_thread and asyncio.get_running_loop() is loop
            counts[number] += 1

        for number in signals:
            loop.add_signal_handler(number, handler, number)

        def storm():
            chooser = random.Random(1)
            for _ in range(30):
                # A burst at a time: the wake-up pipe holds a few hundred signals, and full it complains.
                for _ in range(60):
                    os.kill(os.getpid(), chooser.choice(signals))
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(60)

        await asyncio.to_thread(storm)
        # One more of each, alone: signals of one kind that are pending together are one.
        for number in signals:
            before = counts[number]
            os.kill(os.getpid(), number)
            while counts[number] == before:
                await asyncio.sleep(0.0001)  # a loop that sleeps, which is what the signal has to wake
        for number in signals:
            assert loop.remove_signal_handler(number)

    asyncio.run(main())
    assert all(counts[number] for number in signals)


@program
def signals_and_threads(rng):
    """Signals and call_soon_threadsafe share the way to wake the loop, and neither eats the other's."""

    async def main():
        loop = asyncio.get_running_loop()
        hits, calls = [], []
        finished = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, hits.append, 1)

        def send():
            for number in range(2000):
                loop.call_soon_threadsafe(calls.append, number)
                if number % 20 == 0:
                    os.kill(os.getpid(), signal.SIGUSR1)
                if number % 100 == 0:  # as above: the wake-up pipe is finite
                    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(60)
            loop.call_soon_threadsafe(finished.set_result, None)

        await asyncio.to_thread(send)
        await finished
        assert calls == list(range(2000))
        while not hits:
            await asyncio.sleep(0.0001)  # nothing says that the pending one has been delivered
        loop.remove_signal_handler(signal.SIGUSR1)

    asyncio.run(main())


@program
def python_signal_handlers_while_busy(rng):
    """A busy loop lets the interpreter run ordinary signal handlers and other threads."""
    hits = []
    signal.signal(signal.SIGUSR1, lambda *args: hits.append(1))
    progressed = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()

        def other():
            for _ in range(50):
                before = len(hits)
                os.kill(os.getpid(), signal.SIGUSR1)
                while len(hits) == before:
                    if progressed.wait(0.0001):
                        raise AssertionError("the loop ended first")
            loop.call_soon_threadsafe(done.set_result, None)

        done = loop.create_future()

        def spin():
            if not done.done():
                loop.call_soon(spin)

        loop.call_soon(spin)
        thread = threading.Thread(target=other)
        thread.start()
        await done
        progressed.set()
        thread.join()

    asyncio.run(main())
    assert len(hits) == 50


@program
def random_task_tree(rng):
    """Trees of tasks, cancelled at random: each task ends exactly once and none is left."""
    started, ended = collections.Counter(), collections.Counter()

    async def node(name, depth):
        started[name] += 1
        try:
            children = [asyncio.create_task(node((*name, i), depth - 1)) for i in range(3)] if depth else []
            for child in children:
                child.add_done_callback(lambda task: task.cancelled() or task.exception())
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            for child in children:
                if rng.random() < 0.3:
                    child.cancel()
            if rng.random() < 0.1:
                raise ValueError(name)
            await asyncio.gather(*children, return_exceptions=rng.random() < 0.5)
        finally:
            ended[name] += 1

    async def main():
        for i in range(40):
            task = asyncio.create_task(node((i,), 4))
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            while left := asyncio.all_tasks() - {asyncio.current_task()}:
                for other in left:
                    if rng.random() < 0.5:
                        other.cancel()
                await asyncio.sleep(0)

    asyncio.run(main())
    assert started == ended and set(started.values()) == {1}


@program
def random_timers(rng):
    """Timers set and cancelled at random: each of the others runs once, never before its time, in order."""

    async def main():
        loop = asyncio.get_running_loop()
        ran = []
        handles = {}

        def due(number, when):
            assert loop.time() + loop_resolution >= when
            ran.append((when, number))
            del handles[number]

        loop_resolution = 1e-3
        base = loop.time()
        expected = set(range(5000))
        for number in range(5000):
            when = base + rng.random() * 0.3
            handles[number] = loop.call_at(when, due, number, when)
        for number in rng.sample(range(5000), 2500):
            if number in handles:
                handles.pop(number).cancel()
                expected.discard(number)
            if number % 50 == 0:
                await asyncio.sleep(0)
        while handles:
            await asyncio.sleep(0.001)  # a timer more among them
        assert {number for _, number in ran} == expected and len(ran) == len(expected)

    asyncio.run(main())


@program
def queue_of_many(rng):
    """Producers and consumers, some cancelled: every item that was put is taken once."""

    async def main():
        queue = asyncio.Queue(5)
        put, taken = [], []

        async def produce(worker):
            for i in range(300):
                await queue.put((worker, i))
                put.append((worker, i))

        async def consume():
            while True:
                taken.append(await queue.get())
                queue.task_done()

        producers = [asyncio.create_task(produce(w)) for w in range(5)]
        consumers = [asyncio.create_task(consume()) for _ in range(5)]
        while not all(p.done() for p in producers):
            victim = rng.randrange(5)
            consumers[victim].cancel()
            await asyncio.wait([consumers[victim]])
            consumers[victim] = asyncio.create_task(consume())
            await asyncio.sleep(0)
        await queue.join()
        for consumer in consumers:
            consumer.cancel()
        await asyncio.wait(consumers)
        assert collections.Counter(put) == collections.Counter(taken)
        for worker in range(5):
            mine = [i for w, i in taken if w == worker]
            assert mine == sorted(mine)

    asyncio.run(main())


@program
def lock_of_many(rng):
    """A lock and a semaphore under random cancellation: exclusion holds, and nobody waits for ever."""

    async def main():
        lock, sem = asyncio.Lock(), asyncio.Semaphore(3)
        inside = in_sem = done = 0

        async def work():
            nonlocal inside, in_sem, done
            async with sem:
                in_sem += 1
                assert in_sem <= 3
                try:
                    async with lock:
                        inside += 1
                        assert inside == 1
                        try:
                            await asyncio.sleep(0)
                        finally:
                            inside -= 1
                finally:
                    in_sem -= 1
            done += 1

        for _ in range(30):
            tasks = [asyncio.create_task(work()) for _ in range(60)]
            for _ in range(40):
                rng.choice(tasks).cancel()
                await asyncio.sleep(0)
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()
        assert not lock.locked() and not sem.locked() and done > 0

    asyncio.run(main())


@program
def echo_with_random_deaths(rng):
    """Clients that vanish at random leave the others their own bytes: descriptors are reused all the time."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def client(number, address):
        for attempt in range(4):
            reader, writer = await asyncio.open_connection(*address)
            for i in range(10):
                line = b"%d %d %d\n" % (number, attempt, i)
                writer.write(line)
                assert await reader.readline() == line
                if rng.random() < 0.1:
                    writer.transport.abort()
                    break
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        await asyncio.gather(*(client(n, address) for n in range(60)))
        server.close()
        await server.wait_closed()

    asyncio.run(main())


@program
def forks_while_running(rng):
    """Children forked out of a running loop run loops of their own and leave the parent's alone."""

    async def child():
        await asyncio.gather(*(asyncio.sleep(0.0001) for _ in range(10)))  # timers of its own

    async def main():
        loop = asyncio.get_running_loop()
        a, b = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=a)
        b.setblocking(False)
        for i in range(15):
            pid = os.fork()
            if not pid:
                status = 1
                try:
                    asyncio.run(child())
                    status = 0
                finally:
                    os._exit(status)
            await loop.sock_sendall(b, b"%d\n" % i)
            assert await reader.readline() == b"%d\n" % i
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        writer.close()
        await writer.wait_closed()
        b.close()

    asyncio.run(main())


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](random.Random(int(sys.argv[2])))
