"""anyio's process functions: run_process, open_process, cancel scopes around them, process pools."""

import json
import subprocess
import sys

import anyio
from anyio import create_task_group, fail_after, move_on_after, open_process, run_process, to_process

said = {}


def square(number):
    return number * number


async def main():
    done = await run_process([sys.executable, "-c", "print(input().upper())"], input=b"hello\n")
    said["run"] = [done.returncode, done.stdout.decode()]
    done = await run_process("echo shell; exit 3", check=False)
    said["shell"] = [done.returncode, done.stdout.decode()]
    try:
        await run_process(["sh", "-c", "echo sorry >&2; exit 4"])
    except subprocess.CalledProcessError as exc:
        said["check"] = [exc.returncode, exc.stderr.decode()]

    async with await open_process(["cat"]) as process:
        await process.stdin.send(b"one\n")
        said["stream"] = [(await process.stdout.receive()).decode()]
        await process.stdin.aclose()
        rest = [chunk async for chunk in process.stdout]
        said["stream"] += [len(rest), await process.wait()]

    with move_on_after(0.1) as scope:
        await run_process(["sleep", "1000"])
    said["cancelled"] = scope.cancelled_caught

    async with await open_process(["sleep", "1000"]) as process:
        process.terminate()
        said["terminated"] = await process.wait()

    results = {}

    async def worker(number):
        done = await run_process(["sh", "-c", f"cat; exit {number}"], input=b"x" * 100_000, check=False)
        results[number] = [done.returncode, len(done.stdout)]

    async with create_task_group() as group:
        for number in range(12):
            group.start_soon(worker, number)
    said["at once"] = sorted(results.items())

    with fail_after(60):
        said["pool"] = [await to_process.run_sync(square, number) for number in range(4)]


if __name__ == "__main__":
    anyio.run(main)
    print(json.dumps(said))
