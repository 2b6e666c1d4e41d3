"""A process without some of its standard descriptors: pipes and programs then have the low numbers."""

import asyncio
import itertools
import os
import sys

PIPE = asyncio.subprocess.PIPE
report = os.dup(1)


async def children():
    proc = await asyncio.create_subprocess_exec(
        "sh", "-c", "cat; echo error >&2", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert await proc.communicate(b"input") == (b"input", b"error\n")
    proc = await asyncio.create_subprocess_exec(
        "sh", "-c", "cat; echo error >&2", stdin=PIPE, stdout=PIPE, stderr=-2
    )
    assert await proc.communicate(b"input") == (b"inputerror\n", None)
    proc = await asyncio.create_subprocess_exec(
        "cat", stdin=PIPE, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert await proc.communicate(b"input") == (b"input", None)
    try:
        await asyncio.create_subprocess_exec("/no/such/program", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    except FileNotFoundError:
        pass
    else:
        raise AssertionError


for closed in itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in range(1, 4)):
    if os.fork() == 0:
        for fd in closed:
            os.close(fd)
        try:
            asyncio.run(children())
        except BaseException as exc:
            os.write(report, f"{closed}: {exc!r}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.wait()
    if status:
        sys.exit(f"{closed}: {status}")
print("all")
