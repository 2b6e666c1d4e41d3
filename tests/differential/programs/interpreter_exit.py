"""What a program leaves behind when the interpreter ends: output and exit status of whole processes."""

import os
import subprocess
import sys

import observe
from observe import emit, normal, scenario

TESTS = os.path.dirname(os.path.dirname(observe.__file__))


def whole(body, *options):
    """Run *body* as a program of its own and write its status and output."""
    code = (
        f"import sys; sys.path[:0] = {[TESTS, *sys.path]!r}; import implementation\n"
        f"implementation.install({os.environ['OBSERVED']!r})\n"
        f"import asyncio\n{body}"
    )
    proc = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=60)
    told = [line for line in proc.stderr.splitlines() if not line.startswith("  ")]
    emit(proc.returncode, proc.stdout.splitlines(), [normal(line) for line in told])


@scenario
def clean():
    whole("print(asyncio.run(asyncio.sleep(0, 'done')))")


@scenario
def exception():
    whole("async def main(): raise ValueError('out')\nasyncio.run(main())")


@scenario
def system_exit():
    whole("async def main(): raise SystemExit(3)\nasyncio.run(main())")


@scenario
def keyboard_interrupt():
    whole(
        "import signal\n"
        "async def main():\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    await asyncio.sleep(3600)\n"
        "asyncio.run(main())"
    )


@scenario
def loop_left_open_with_a_pending_task():
    whole(
        "loop = asyncio.new_event_loop()\n"
        "async def main(): await loop.create_future()\n"
        "task = loop.create_task(main())\n"
        "loop.call_soon(loop.stop)\n"
        "loop.run_forever()\n"
        "print('end')"
    )


@scenario
def exception_never_retrieved():
    whole(
        "async def fails(): raise ValueError('lost')\n"
        "async def main():\n"
        "    task = asyncio.create_task(fails())\n"
        "    await asyncio.sleep(0)\n"
        "    await asyncio.sleep(0)\n"
        "    del task\n"
        "asyncio.run(main())\n"
        "print('end')"
    )


@scenario
def transport_left_open():
    whole(
        "import socket\n"
        "async def main():\n"
        "    global kept, b\n"
        "    a, b = socket.socketpair()\n"
        "    kept = await asyncio.open_connection(sock=a)\n"
        "asyncio.run(main())\n"
        "b.close()\n"
        "print('end')"
    )


@scenario
def thread_with_a_loop_at_exit():
    whole(
        "import threading\n"
        "loop = asyncio.new_event_loop()\n"
        "thread = threading.Thread(target=loop.run_forever, daemon=True)\n"
        "thread.start()\n"
        "print(asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 'answer'), loop).result())"
    )


@scenario
def atexit():
    whole(
        "import atexit\n"
        "@atexit.register\n"
        "def last(): print(asyncio.run(asyncio.sleep(0, 'at exit')))\n"
        "print('main ends')"
    )


@scenario
def destructors_at_exit():
    whole(
        "class Keeps:\n"
        "    def __init__(self): self.future = asyncio.Future(loop=loop)\n"
        "    def __del__(self): print('del', self.future.done())\n"
        "loop = asyncio.new_event_loop()\n"
        "kept = Keeps()\n"
        "kept.future.add_done_callback(kept.__class__)\n"
        "loop.close()\n"
        "print('end')"
    )
