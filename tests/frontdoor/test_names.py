"""Every name that asyncio has is there: the running Python's, and the newest one's."""

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import ferrio
import implementation
import pytest
from ferrio import _ferrio
from ferrio._not_yet import NOT_YET
from ferrio._submodules import LAZY, OWN, SUBMODULES

NEWEST = (3, 15)
HERE = min(sys.version_info[:2], NEWEST)


def api(version):
    """What asyncio has on a Python; `api/make.py` has written it down."""
    path = Path(__file__).with_name("api") / f"asyncio-{version[0]}.{version[1]}.json"
    return json.loads(path.read_text())["names"]


# What a dataclass with slots gets for pickling; these hold frames, which cannot be pickled.
NOT_NEEDED = {"FrameCallGraphEntry.__setstate__", "FutureCallGraph.__setstate__"}

NAMES = sorted({*api(HERE), *api(NEWEST)})


@pytest.fixture(scope="module")
def found():
    """What ferrio has here."""
    ended = implementation.run("ferrio", Path(__file__).with_name("public_names.py"), seconds=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_public_name(name):
    assert getattr(ferrio, name) is not None
    assert name in ferrio.__all__
    assert name in dir(ferrio)


@pytest.mark.parametrize("name", sorted(OWN))
def test_own_submodule(name):
    """There without an import of its own, before the first loop and after, and not under asyncio's name."""
    program = (
        "import ferrio, sys\n"
        f"ferrio.{name}; loop = ferrio.new_event_loop(); loop.close(); ferrio.{name}\n"
        f"ferrio.install(); assert 'asyncio.{name}' not in sys.modules\n"
        "for name in ferrio.NAME.__all__: assert not isinstance(getattr(ferrio.NAME, name), NotYet), name"
    )
    program = "from ferrio._not_yet import NotYet\n" + program.replace("NAME", name)
    subprocess.run([sys.executable, "-c", program], check=True)


def test_nothing_else_is_public():
    assert sorted(ferrio.__all__) == NAMES
    assert len(set(ferrio.__all__)) == len(ferrio.__all__)


def test_star_import_gives_all_of_it():
    namespace = {}
    exec("from ferrio import *", namespace)
    assert {name for name in namespace if name != "__builtins__"} == set(ferrio.__all__)


@pytest.mark.parametrize("version", sorted({HERE, NEWEST}), ids=str)
def test_everything_is_what_it_is_in_asyncio(found, version):
    """Classes have all members, functions and methods are coroutine functions where asyncio's are: this Python's
    asyncio and the newest one's."""
    wrong = {}
    for name, entry in api(version).items():
        if name in NOT_YET:
            # `test_native_or_not_yet` takes a name out of that table as soon as it is built.
            continue
        if not isinstance(entry, dict):
            if found[name] != entry:
                wrong[name] = (entry, found[name])
            continue
        ours = found[name]["members"]
        for member, kind in entry["members"].items():
            if ours.get(member) not in ALIKE.get(kind, {kind}):
                wrong[f"{name}.{member}"] = (kind, ours.get(member))
        lost = set(entry["bases"]) - set(found[name]["bases"])
        if {base for base in lost if not base.startswith("_")}:
            wrong[name] = (entry["bases"], found[name]["bases"])
    assert {name: what for name, what in wrong.items() if name not in NOT_NEEDED} == {}


# A value on the class may be a property of ours: the object has the contents.
ALIKE = {"value": {"value", "property"}, "property": {"value", "property"}}


def test_submodules():
    stock = {info.name for info in pkgutil.iter_modules([str(Path(ast.__file__).parent / "asyncio")])}
    windows = {name for name in stock if name.startswith("windows_")}
    assert stock - windows - {"__main__"} <= SUBMODULES | {"tools"}
    for name in SUBMODULES:
        module = importlib.import_module(f"ferrio.{name}")
        assert getattr(ferrio, name) is module
        for public in getattr(module, "__all__", ()):
            assert hasattr(module, public), f"{name}.{public}"


def test_lazy_names_come_from_where_the_table_says():
    for name, submodule in LAZY.items():
        assert getattr(ferrio, name) is getattr(importlib.import_module(f"ferrio.{submodule}"), name)


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'ferrio' has no attribute 'nonesuch'"):
        _ = ferrio.nonesuch


@pytest.mark.parametrize(
    ("module", "twins", "name"),
    [
        ("futures", ("_CFuture", "_PyFuture"), "Future"),
        ("tasks", ("_CTask", "_PyTask"), "Task"),
        *(
            ("tasks", (f"_c_{name}", f"_py_{name}"), original)
            for name, original in [
                ("all_tasks", "all_tasks"),
                ("current_task", "current_task"),
                ("enter_task", "_enter_task"),
                ("leave_task", "_leave_task"),
                ("register_task", "_register_task"),
                ("unregister_task", "_unregister_task"),
            ]
        ),
        ("events", ("_c_get_event_loop", "_py_get_event_loop"), "get_event_loop"),
        ("events", ("_c__set_running_loop", "_py__set_running_loop"), "_set_running_loop"),
    ],
)
def test_twins(module, twins, name):
    """CPython has these in C and in Python; one object under both names serves its tests."""
    module = importlib.import_module(f"ferrio.{module}")
    for twin in twins:
        assert getattr(module, twin) is getattr(module, name) is getattr(ferrio, name)


def asked_for():
    """Every name that a module of the package takes from the extension."""
    for path in sorted(Path(ferrio.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "_native":
                yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("name", sorted(set(asked_for())))
def test_native_or_not_yet(name):
    """A name is in the extension or in the table of what is missing, never in both."""
    assert hasattr(_ferrio, name) is not (name in NOT_YET)


def test_the_table_has_nothing_else():
    assert set(NOT_YET) <= set(asked_for())


def test_a_name_that_is_not_built():
    from ferrio._not_yet import not_yet

    name = "graph_of_everything"
    missing = not_yet(name)
    assert missing is not_yet(name)
    assert not isinstance(3, missing)
    with pytest.raises(NotImplementedError, match="does not have asyncio's graph_of_everything yet"):
        missing(1, key=2)

    class Derived(missing):
        pass

    with pytest.raises(NotImplementedError, match="graph_of_everything"):
        Derived()
