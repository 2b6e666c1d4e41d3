"""A job runner as people write them: dependencies, filters joined by pipes, time-outs, a bounded number at once."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile

PIPE = asyncio.subprocess.PIPE
said = {}


async def run(slots, *args, data=None, timeout=60, **kwargs):
    """Run a job; returns (status, output)."""
    async with slots:
        process = await asyncio.create_subprocess_exec(
            *args,
            stdin=PIPE if data is not None else asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            **kwargs,
        )
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate(data)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return "late", b""
        return process.returncode, out + err


async def compile_and_run(slots, directory):
    """Compile some files, link them, run the program."""
    if not shutil.which("cc"):
        return "no compiler"
    for number in range(6):
        with open(f"{directory}/f{number}.c", "w") as file:
            file.write(f"int f{number}(void) {{ return {number}; }}\n")
    with open(f"{directory}/main.c", "w") as file:
        file.write("#include <stdio.h>\n" + "".join(f"int f{n}(void);\n" for n in range(6)))
        file.write(
            'int main(void) { printf("%d\\n", ' + "+".join(f"f{n}()" for n in range(6)) + "); return 0; }\n"
        )
    names = [f"f{number}" for number in range(6)] + ["main"]
    compiled = await asyncio.gather(
        *(run(slots, "cc", "-c", f"{name}.c", "-o", f"{name}.o", cwd=directory) for name in names)
    )
    linked = await run(slots, "cc", *(f"{name}.o" for name in names), "-o", "all", cwd=directory)
    ran = await run(slots, "./all", cwd=directory)
    return [[status for status, _ in compiled], linked[0], ran[0], ran[1].decode()]


async def pipeline(data):
    """`sort | uniq -c | sort -rn`, joined by pipes of the kernel's."""
    first_out, first_in = os.pipe()
    second_out, second_in = os.pipe()
    one = await asyncio.create_subprocess_exec("sort", stdin=PIPE, stdout=first_in)
    two = await asyncio.create_subprocess_exec("uniq", "-c", stdin=first_out, stdout=second_in)
    three = await asyncio.create_subprocess_exec("sort", "-rn", stdin=second_out, stdout=PIPE)
    for fd in (first_out, first_in, second_out, second_in):
        os.close(fd)

    async def feed():
        for start in range(0, len(data), 50_000):
            one.stdin.write(data[start : start + 50_000])
            await one.stdin.drain()
        one.stdin.close()

    _, (out, _) = await asyncio.gather(feed(), three.communicate())
    statuses = [await process.wait() for process in (one, two, three)]
    return [statuses, [line.split() for line in out.decode().splitlines()]]


async def progress(slots):
    """Lines as they come, from a filter that is slow."""
    lines = []
    async with slots:
        process = await asyncio.create_subprocess_shell(
            "for i in 1 2 3 4 5; do echo frame=$i; done; echo done >&2", stdout=PIPE, stderr=PIPE
        )
        async for line in process.stdout:
            lines.append(line.decode().strip())
        lines.append((await process.stderr.read()).decode().strip())
        lines.append(await process.wait())
    return lines


async def main():
    slots = asyncio.Semaphore(4)
    with tempfile.TemporaryDirectory() as directory:
        said["compiled"] = await compile_and_run(slots, directory)
    words = b"".join(b"%d\n" % (number * number % 7) for number in range(30_000))
    said["pipeline"] = await pipeline(words)
    said["progress"] = await progress(slots)
    said["grep"] = [
        status
        for status, _ in await asyncio.gather(
            *(run(slots, "grep", "-c", str(number), data=words) for number in range(8))
        )
    ]
    said["late"], _ = await run(slots, "sleep", "1000", timeout=0.05)
    said["filters"] = [
        len(out)
        for _, out in await asyncio.gather(*(run(slots, "tr", "0-9", "a-j", data=words) for _ in range(8)))
    ]


asyncio.run(main())
print(json.dumps(said))
