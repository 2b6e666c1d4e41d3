"""Every name that asyncio has is there: the running Python's, and the newest one's."""

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import ferrio
import pytest
from ferrio import _ferrio
from ferrio._not_yet import NOT_YET, NotYet
from ferrio._submodules import LAZY, OWN, SUBMODULES

API = Path(__file__).parents[1] / "conformance" / "api"
NEWEST = (3, 15)


def api(version):
    return json.loads((API / f"asyncio-{version[0]}.{version[1]}.json").read_text())


def here():
    return api(min(sys.version_info[:2], NEWEST))


NAMES = sorted({*here(), *api(NEWEST)})


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


@pytest.mark.parametrize("name", [name for name, entry in here().items() if isinstance(entry, dict)])
def test_class_has_its_members(name):
    cls = getattr(ferrio, name)
    if issubclass(cls, NotYet):
        pytest.skip(NOT_YET[name])
    # Whether there is a finalizer, and of what kind, is the implementation's affair.
    members = set(here()[name]["members"]) - {"__del__"}
    missing = [member for member in members if not hasattr(cls, member)]
    assert missing == []


SIGNATURES = """
import ferrio, inspect, json
from ferrio import _abstract, protocols, transports
found = {}
for module in _abstract, protocols, transports:
    for name, cls in vars(module).items():
        if isinstance(cls, type) and name in ferrio.__all__:
            found[name] = {member: str(inspect.signature(getattr(cls, member)))
                           for member in dir(cls) if inspect.isfunction(getattr(cls, member))}
print(json.dumps(found))
"""


def test_abstract_signatures(program):
    """The classes that are written in Python have the newest asyncio's methods, with its signatures.

    Asked of a process that has no stock asyncio, whose classes would be ours there.
    """
    found = json.loads(program(SIGNATURES))
    assert {"AbstractEventLoop", "AbstractServer", "Protocol", "Transport"} <= set(found)
    newest = api(NEWEST)
    for name, members in found.items():
        for member, signature in newest.get(name, {"members": {}})["members"].items():
            family = signature.replace("<AddressFamily.AF_UNSPEC: 0>", "0")
            assert members[member] == family.replace("<AddressInfo.AI_PASSIVE: 1>", "1"), f"{name}.{member}"


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
