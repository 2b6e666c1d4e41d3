"""In debug mode, what a finalizer schedules or makes remembers its stack, even where no frame is complete.

When a frame is left, its values are dropped while the interpreter's own frame is the innermost one. On 3.13
``sys._getframe(0)`` hands out that frame, which is not set, and the process dies on it.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import ferrio as asyncio


async def generator():
    try:
        yield 1
    finally:
        pass


async def left_by_a_coroutine():
    suspended = generator()
    await anext(suspended)


async def left_by_a_callback():
    loop = asyncio.get_running_loop()
    suspended = [generator()]
    await anext(suspended[0])

    def drop():
        held = suspended.pop()

    loop.call_soon(drop)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


asyncio.run(CASE(), debug=True)
print("ok")
"""


@pytest.mark.parametrize("case", ["left_by_a_coroutine", "left_by_a_callback"])
def test_a_stack_is_taken_where_no_frame_is_complete(case):
    program = PROGRAM.replace("CASE", case)
    proc = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (proc.returncode, proc.stdout, proc.stderr) == (0, "ok\n", "")
