"""A pool of workers that take jobs from a queue, and end when there are no more."""

import asyncio


async def worker(name, jobs, results):
    while True:
        try:
            job = await jobs.get()
        except asyncio.QueueShutDown:
            return
        await asyncio.sleep(0.001 * job)  # the work
        results.append((job, job * job))
        jobs.task_done()


async def main():
    jobs = asyncio.Queue(maxsize=20)  # put() waits while the workers are behind
    results = []
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(worker(f"worker {number}", jobs, results))
        for job in range(30):
            await jobs.put(job)
        jobs.shutdown()  # no more jobs; those in the queue are still done
    print(len(results), "jobs done, the last is", max(results))


if __name__ == "__main__":
    # Queue.shutdown() is asyncio's from 3.13 on, and ferrio's on every Python.
    asyncio.run(main())
