"""`import asyncio` leaves asyncio's modules in `sys.modules`, which ferrio does without loading them."""

import sys

import pytest

STOCK = """
import sys, asyncio
print(*(name for name in sys.modules if name.startswith("asyncio.")))
"""

# What C extensions ask.
ADD_MODULE = """
import ctypes
add = ctypes.pythonapi.PyImport_AddModule
add.restype = ctypes.py_object
"""


def names(program):
    """The submodules that stock's import leaves on this Python."""
    return set(program(STOCK).split())


def test_names(program):
    found = program(f"import ferrio; ferrio.install(){STOCK}")
    assert names(program) <= set(found.split())


def test_a_module_is_the_same_by_every_way(program):
    source = """
    import ferrio; ferrio.install()
    import sys, asyncio, importlib
    for name in [name for name in sys.modules if name.startswith("asyncio.")]:
        module, short = sys.modules[name], name.partition(".")[2]
        assert getattr(asyncio, short) is module is importlib.import_module(name), name
        assert sys.modules["ferrio." + short] is module, name
        assert type(module) is type(sys), name
        assert module.__spec__.name == "ferrio." + short and module.__file__, name
        assert "__builtins__" in vars(module), name
    """
    program(source)


@pytest.mark.parametrize(
    "look",
    [
        "module.Task",
        "getattr(module, 'Task')",
        "dir(module).index('Task')",
        "vars(module)['Task']",
        "module.__dict__['Task']",
        "__import__('asyncio.tasks').tasks.Task",
        "exec('from asyncio.tasks import Task')",
        "exec('from asyncio.tasks import *'); Task",
        "importlib.reload(module).Task",
        "inspect.getsource(module).index('Task')",
    ],
)
def test_a_look_loads(program, look):
    program(
        "import ferrio; ferrio.install()\n"
        "import importlib, inspect, sys\n"
        "module = sys.modules['asyncio.tasks']\n"
        f"{look}\n"
    )


def test_what_is_set_before_a_look_stays(program):
    program("""
    import ferrio; ferrio.install()
    import sys
    sys.modules["asyncio.tasks"].sleep = "mine"
    import asyncio.tasks
    assert asyncio.tasks.sleep == "mine" and asyncio.tasks.Task
    del sys.modules["asyncio.queues"].Queue
    assert not hasattr(asyncio.queues, "Queue") and asyncio.queues.LifoQueue
    """)


def test_from_c(program):
    program(f"""
    import ferrio; ferrio.install(){ADD_MODULE.replace(chr(10), chr(10) + "    ")}
    import asyncio
    assert add(b"asyncio.tasks").current_task is asyncio.current_task
    from asyncio.tasks import Task
    assert Task is asyncio.Task
    """)


def test_concurrent_futures(program):
    """Stock's import brings it, and with it the attribute of the bare package."""
    for before in ("", "import concurrent", "import concurrent.futures"):
        program(f"""
        {before or "pass"}
        import ferrio; ferrio.install()
        import asyncio, concurrent
        assert concurrent.futures.Future and concurrent.__path__
        import concurrent.futures.thread
        from concurrent.futures import ThreadPoolExecutor
        import sys
        assert sys.modules["concurrent.futures"] is concurrent.futures
        """)


def test_threads_that_look_at_once(program):
    """No thread sees a module that another one is just loading."""
    program("""
    import ferrio; ferrio.install()
    import sys, threading
    found, start = [], threading.Barrier(8)
    def look():
        start.wait()
        found.append(sys.modules["asyncio.unix_events"].EventLoopPolicy)
        found.append(sys.modules["asyncio.tasks"].wait_for)
    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(found) == 16 and len(set(found)) == 2
    """)


def test_a_module_that_fails_can_be_asked_again(program):
    program("""
    import ferrio; ferrio.install()
    import sys
    class Refuses:
        def find_spec(self, name, path=None, target=None):
            if name == "ferrio.tasks": raise ImportError("not today")
    refuses = Refuses()
    sys.meta_path.insert(0, refuses)
    try: sys.modules["asyncio.tasks"].Task
    except ImportError as exc: assert str(exc) == "not today"
    else: assert False
    sys.meta_path.remove(refuses)
    assert sys.modules["asyncio.tasks"].Task
    """)


def test_nothing_is_loaded_until_then(program):
    loaded = program("""
    import sys
    before = set(sys.modules)
    import ferrio; ferrio.install()
    later = type(sys.modules["asyncio.sslproto"])
    print(*(name for name in set(sys.modules) - before if type(sys.modules[name]) is not later))
    """)
    assert not {"asyncio.tasks", "ferrio.tasks", "concurrent.futures", "threading"} & set(loaded.split())


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the package has a __getattr__ of its own there")
def test_the_first_loop_ends_the_lazy_names(program):
    program("""
    import ferrio; ferrio.install()
    import asyncio
    asyncio.run(asyncio.sleep(0))
    assert "__getattr__" not in vars(asyncio)
    assert asyncio.tasks.Task and asyncio.extras and asyncio.sslproto.SSLProtocol
    """)
