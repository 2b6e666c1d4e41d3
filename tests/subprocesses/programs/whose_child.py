"""A child inherits what belongs to the loop's thread, not to another one, and outlives no thread but that."""

import asyncio
import ctypes
import os
import subprocess
import sys
import threading

PDEATHSIG, NO_NEW_PRIVS = 1, 38


async def shows(code):
    proc = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", code, stdout=-1)
    out, _ = await proc.communicate()
    return out.decode().strip()


async def inherits():
    some = {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(0, some)
    assert await shows("import os; print(os.sched_getaffinity(0))") == str(some)
    os.setpriority(os.PRIO_PROCESS, 0, 7)
    assert await shows("import os; print(os.nice(0))") == "7"
    assert ctypes.CDLL(None).prctl(NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert "NoNewPrivs:\t1" in await shows("print(open('/proc/self/status').read())")


async def has_the_loops_thread_for_parent():
    parent = await shows("print(open('/proc/self/stat').read())")
    assert parent.rpartition(")")[2].split()[1] == str(os.getpid())
    proc = await asyncio.create_subprocess_exec("cat", stdin=-1)
    # The kernel lists a child with the thread that has made it.
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as children:
        assert str(proc.pid) in children.read().split()
    proc.stdin.close()
    await proc.wait()


def with_a_name():
    asyncio.run(inherits())


before = threading.active_count()
thread = threading.Thread(target=with_a_name)
thread.start()
thread.join()
asyncio.run(has_the_loops_thread_for_parent())
# The main thread has none of it.
assert (
    subprocess.run([sys.executable, "-c", "import os; print(os.nice(0))"], capture_output=True).stdout
    == b"0\n"
)
print("inherited")
