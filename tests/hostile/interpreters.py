"""The extension in a second interpreter of the process, and imported a second time in the first."""

import asyncio
import gc
import importlib
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile

from survival import program

PACKAGE = "ferrio" if "ferrio" in sys.modules else "asyncio"
EXTENSION = "ferrio._ferrio" if PACKAGE == "ferrio" else "_asyncio"


USE = f"""
import {PACKAGE} as asyncio
async def f():
    await asyncio.sleep(0)
    return 5
assert asyncio.run(f()) == 5
"""


REFUSED = "module ferrio._ferrio does not support loading in subinterpreters"


def in_another_interpreter(source, isolated):
    """What went wrong there, or nothing."""
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters

        number = interpreters.create("isolated" if isolated else "legacy")
        failed = interpreters.run_string(number, source)
        shown = f"{failed.type.__name__}: {failed.msg}" if failed else None
    else:
        import _xxsubinterpreters as interpreters

        number = interpreters.create(isolated=isolated)
        try:
            interpreters.run_string(number, source)
            shown = None
        except interpreters.RunFailedError as err:
            shown = str(err)
    interpreters.destroy(number)
    gc.collect()
    return shown


async def work():
    async def child(lock, queue):
        async with lock, asyncio.timeout(60):
            await queue.put(1)
            return await asyncio.wait_for(queue.get(), 60)

    lock, queue = asyncio.Lock(), asyncio.Queue()
    tasks = [asyncio.create_task(child(lock, queue)) for _ in range(100)]
    return sum(await asyncio.gather(*tasks))


def used_before_and_after(isolated):
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(work()) == 100
    outcomes = {in_another_interpreter(USE, isolated) for _ in range(3)}
    for _ in range(3):
        assert loop.run_until_complete(work()) == 100
        assert asyncio.run(work()) == 100
        gc.collect()
    loop.close()
    [only] = outcomes
    return "refused" if only and REFUSED in only else only


@program("refused", stock="None")
def second_interpreter():
    return used_before_and_after(isolated=False)


@program("refused", stock="None")
def second_isolated_interpreter():
    return used_before_and_after(isolated=True)


def import_anew(gone):
    for name in [name for name in sys.modules if gone(name)]:
        del sys.modules[name]
    return importlib.import_module(EXTENSION)


@program("100")
def extension_imported_again():
    before = sys.modules[EXTENSION]
    task_class = asyncio.Task
    again = import_anew(lambda name: name == EXTENSION)
    for module in (before, again):
        fut = module.Future(loop=(loop := asyncio.new_event_loop()))
        fut.set_result(100)
        assert loop.run_until_complete(fut) == 100
        loop.close()
    assert asyncio.Task is task_class
    return str(asyncio.run(work()))


@program("100")
def extension_reloaded():
    importlib.reload(sys.modules[EXTENSION])
    return str(asyncio.run(work()))


@program("100", beyond="has two worlds after that, of which the new one knows no task")
def package_imported_again():
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(work()) == 100
    import_anew(lambda name: name.split(".")[0] in (PACKAGE, EXTENSION))
    again = importlib.import_module(PACKAGE)
    assert again is not asyncio or PACKAGE == "asyncio"

    async def in_the_new_one():
        async with again.timeout(60):
            return sum(await again.gather(*[again.sleep(0, 1) for _ in range(100)]))

    assert again.run(in_the_new_one()) == 100
    assert loop.run_until_complete(work()) == 100
    loop.close()
    gc.collect()
    return str(again.run(in_the_new_one()))


@program("100")
def copy_at_another_path():
    """The library is loaded a second time, with statics of its own."""
    original = pathlib.Path(sys.modules[EXTENSION].__file__)
    with tempfile.TemporaryDirectory() as directory:
        copy = shutil.copy(original, directory)
        spec = importlib.util.spec_from_file_location(EXTENSION, copy)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    loop = asyncio.new_event_loop()
    fut = module.Future(loop=loop)
    loop.call_soon(fut.set_result, 100)
    assert loop.run_until_complete(fut) == 100
    loop.close()
    gc.collect()
    return str(asyncio.run(work()))


@program("refused", beyond="works in any interpreter")
def another_interpreter_is_first():
    """It has ended when this one wants the extension."""
    script = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from interpreters import in_another_interpreter
assert in_another_interpreter("import ferrio", isolated=False) is None
try:
    import ferrio
except ImportError as err:
    print(err)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0 and not ended.stderr, ended
    return "refused" if REFUSED in ended.stdout else ended.stdout
