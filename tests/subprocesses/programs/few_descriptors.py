"""Children of a process that has run out of descriptors: an OSError or a child, and nothing is left of either."""

import asyncio
import errno
import os
import resource

PIPE = asyncio.subprocess.PIPE


async def main():
    # Whatever opens descriptors once has done it.
    proc = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    assert await proc.communicate(b"first") == (b"first", None)
    refused = made = 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for free in range(14):
        before = sorted(map(int, os.listdir("/proc/self/fd")))[:-1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[-1] + 1, hard))
        fill = []
        while True:
            try:
                fill.append(os.dup(0))
            except OSError:
                break
        for fd in fill[:free]:
            os.close(fd)
        kept = fill[free:]
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[-1] + 1 + max(0, free - len(fill)), hard))
        try:
            proc = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        except OSError as exc:
            assert exc.errno == errno.EMFILE, exc
            refused += 1
        else:
            assert await proc.communicate(b"data") == (b"data", None)
            assert proc.returncode == 0
            made += 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for fd in kept:
            os.close(fd)
        assert sorted(map(int, os.listdir("/proc/self/fd")))[:-1] == before, free
    assert refused and made, (refused, made)
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("nothing left")


asyncio.run(main())
