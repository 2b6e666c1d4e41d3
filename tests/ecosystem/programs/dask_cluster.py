"""distributed: a scheduler, workers in processes of their own, a client. Tasks of every kind, one that fails, a worker
that dies, work that is given up, and a client on the loop of the program.
"""

import asyncio
import contextlib
import json
import os
import signal
import tempfile
import time

# Its log names addresses and times. By the environment, because the workers are to have it too.
os.environ["DASK_LOGGING__DISTRIBUTED"] = "critical"

import dask
from distributed import (
    Client,
    Event,
    LocalCluster,
    Queue,
    as_completed,
    fire_and_forget,
    wait,
    worker_client,
)

said = {}


def square(number):
    return number * number


async def square_later(number):
    await asyncio.sleep(0.01)
    return number * number


def fails(number):
    raise ValueError(f"no {number}")


def package():
    """What asyncio is in the worker."""
    return asyncio.__name__


def squares(number):
    """A task that is a client itself."""
    with worker_client() as client:
        return sum(client.gather(client.map(square, range(number))))


def wait_for(event):
    event.wait()


def put(queue, number):
    queue.put(number)


def process_id():
    return os.getpid()


def dies_once(path):
    """Takes its worker along the first time."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)
    return "again"


def blocking(client):
    """What a program without asyncio does."""
    said["submit"] = client.submit(square, 12).result()
    futures = client.map(square, range(200))
    said["map"] = sum(client.gather(futures))
    said["chain"] = client.submit(sum, futures).result()
    said["coroutines"] = client.gather(client.map(square_later, range(20)))
    failing = client.submit(fails, 3)
    try:
        failing.result()
    except ValueError as error:
        said["fails"] = str(error)
    said["status"] = failing.status
    after = client.submit(square, failing)
    said["after it"] = repr(after.exception())
    said["errors skipped"] = client.gather([failing, futures[3]], errors="skip")
    said["as completed"] = sorted(future.result() for future in as_completed(futures[:10]))
    said["squares"] = client.gather(client.map(squares, [5, 50]))
    (data,) = client.scatter([b"data" * 1_000_000])
    said["scattered"] = client.submit(len, data).result()
    said["delayed"] = dask.compute(dask.delayed(sum)([dask.delayed(square)(number) for number in range(10)]))
    said["big"] = len(client.submit(bytes, 5_000_000).result())


def given_up(client):
    event = Event("never")
    futures = [client.submit(wait_for, event, pure=False) for _ in range(4)]
    client.cancel(futures)
    said["cancelled"] = [future.status for future in futures]
    event.set()
    late = Event("late")
    slow = client.submit(wait_for, late, pure=False)
    try:
        wait(slow, timeout=0.1)
    except TimeoutError:
        said["timeout"] = True
    late.set()
    said["slow"] = slow.result()
    queue = Queue("numbers")
    for number in range(5):
        fire_and_forget(client.submit(put, queue, number))
    said["queue"] = sorted(queue.get(timeout=60) for _ in range(5))


def death(client, directory):
    before = set(client.run(process_id).values())
    said["after a death"] = client.submit(dies_once, os.path.join(directory, "died"), pure=False).result()
    # The nanny starts another one.
    deadline = time.monotonic() + 60
    while (
        len(now := set(client.run(process_id, on_error="ignore").values())) < 2
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    said["new workers"] = len(now - before)
    said["goes on"] = sum(client.gather(client.map(square, range(50), pure=False)))


async def on_the_loop(address):
    async with Client(address, asynchronous=True) as client:
        said["await"] = await client.submit(square, 5)
        futures = client.map(square_later, range(30), pure=False)
        done, pending = await wait(futures, timeout=60)
        said["wait"] = [len(done), len(pending)]
        said["gathered"] = sum(await client.gather(futures))
        said["async for"] = sorted(
            [await future async for future in as_completed(client.map(square, range(5)))]
        )
        try:
            await client.submit(fails, 4)
        except ValueError as error:
            said["fails there"] = str(error)
        event = Event("held", client=client)
        held = client.submit(wait_for, event, pure=False)
        try:
            async with asyncio.timeout(0.2):
                await held
        except TimeoutError:
            said["timeout there"] = held.status
        await event.set()
        said["held"] = await held


def main(directory):
    with LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        processes=True,
        dashboard_address=None,
        local_directory=directory,
        host="127.0.0.1",
    ) as cluster:
        with Client(cluster) as client:
            packages = set(client.run(package).values())
            said["workers are like the program"] = packages == {asyncio.__name__}
            blocking(client)
            given_up(client)
            death(client, directory)
        asyncio.run(on_the_loop(cluster.scheduler_address))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        main(directory)
    print(json.dumps(said))
