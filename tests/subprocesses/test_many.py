"""Many children: at once, one after the other, from many loops; nothing is lost and nothing is left."""

import os
import threading

import pytest

SHARE = float(os.environ.get("FERRIO_LEAK_SCALE", "0.05"))
"""The share of the acceptance's numbers, as in tests/gc."""


def threads():
    return len(os.listdir("/proc/self/task"))


def test_every_byte_comes_back(asyncio, run, left):
    data = os.urandom(1 << 20)

    async def one(slots):
        async with slots:
            proc = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            out, _ = await proc.communicate(data)
            assert out == data
            assert proc.returncode == 0

    async def main():
        slots = asyncio.Semaphore(50)
        await asyncio.gather(*(one(slots) for _ in range(int(2000 * SHARE))))

    run(main())
    assert left() == (set(), set())


def test_short_ones_leave_nothing(asyncio, run, left, way):
    async def one(code):
        proc = await asyncio.create_subprocess_exec("sh", "-c", f"exit {code}")
        assert await proc.wait() == code

    async def main():
        await asyncio.gather(*(one(code) for code in range(20)))
        before = threads(), left()[1]
        # To copy this process takes its time.
        for _ in range(int(10_000 * SHARE) // (100 if way == "copy" else 20)):
            await asyncio.gather(*(one(code) for code in range(20)))
        assert left()[0] == set()
        assert left()[1] == before[1]
        # A thread that has said that its child has ended may still be on its way out.
        assert threads() <= before[0] + (20 if way == "thread" else 0)

    run(main())
    assert left() == (set(), set())


def test_loops_in_many_threads(asyncio, impl, left):
    if impl == "stock":
        pytest.skip("stock's loops outside of the main thread need a watcher of their own before 3.12")
    failures = []

    def work(number):
        async def main():
            for _ in range(5):
                proc = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
                assert await proc.communicate(b"%d" % number) == (b"%d" % number, None)
                assert proc.returncode == 0

        try:
            asyncio.run(main())
        except BaseException as exc:
            failures.append(exc)
            raise

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert left() == (set(), set())


def test_one_run_after_the_other(run, asyncio, left):
    async def main():
        proc = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        return await proc.communicate(b"again")

    for _ in range(3):
        assert run(main()) == (b"again", None)
    assert left() == (set(), set())
