"""The interpreter ends while daemon threads work: with the main thread's status, and without a word.

Up to 3.13 CPython ends such a thread in the middle of a call (`crates/ferrio-object/src/forced_unwind.rs`). When that
happens is a matter of luck, so each program is run several times.
"""

import os
import pathlib

import exiting
import implementation
import pytest

SCRIPT = pathlib.Path(__file__).parent / "exiting.py"
RUNS = int(os.environ.get("FERRIO_EXIT_RUNS", "3"))


@pytest.mark.parametrize("ending", exiting.ENDINGS)
@pytest.mark.parametrize("work", exiting.WORK)
def test_ends_quietly(work, ending, impl):
    if work in exiting.BEYOND and impl == implementation.STOCK:
        pytest.skip("asyncio does not have it")
    status = exiting.ENDINGS[ending][1]
    for _ in range(RUNS):
        proc = implementation.run(impl, SCRIPT, work, ending, seconds=60)
        assert proc.returncode == status, f"status {proc.returncode}\n{proc.stderr[-4000:]}"
        said = proc.stderr.split("\n")
        if ending == "exception":
            assert (said[0].startswith("Traceback") and said[-2:] == ["Left", ""]) or "Left" in said[-2], (
                proc.stderr
            )
        else:
            assert not proc.stderr, proc.stderr[-4000:]


IMPORTS_AT_EXIT = """
import atexit, sys, threading
before = set()
# The first to be registered is the last to be called.
atexit.register(lambda: print(sorted(set(sys.modules) - before)))
import asyncio
at_work = threading.Event()
async def main():
    at_work.set()
    await asyncio.get_running_loop().create_future()
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
at_work.wait()
before |= set(sys.modules)
"""


def test_nothing_is_imported_beside_a_thread_that_works(impl, tmp_path):
    """The thread could make the import last for as long as it likes."""
    script = tmp_path / "program.py"
    script.write_text(IMPORTS_AT_EXIT)
    proc = implementation.run(impl, script, seconds=60)
    assert (proc.returncode, proc.stdout.strip(), proc.stderr) == (0, "[]", "")
