"""Every function, method and class of asyncio's takes the arguments that asyncio's takes, in the ways it takes them.

Found out by calling: what `inspect.signature()` reads is what a docstring says.  That has to be right too, and is
compared as well.  What is compared with is the running Python's own asyncio, and the newest one's as `api/make.py` has
written it down.
"""

import contextvars
import functools
import inspect
import json
import sys
from pathlib import Path

import implementation
import pytest
from ferrio._not_yet import NOT_YET

PROGRAM = Path(__file__).with_name("callables.py")

# Not like stock, and why.
DIFFERENT = {
    "BaseEventLoop": "takes the selector that its derived class is given",
}

# What only an older asyncio does not have.
OF_THIS_PYTHON = {"loop.shutdown_default_executor"}

if sys.version_info < (3, 12):
    DIFFERENT["loop.shutdown_default_executor"] = (
        "the timeout came with 3.12, and ferrio has it on every Python"
    )

# `test_names.test_native_or_not_yet` takes a name out of that table as soon as it is built.
DIFFERENT |= NOT_YET

# Called in the same ways, and not described alike.
DESCRIBED = {
    "eager_task_factory": "a factory is an object, and inspect describes those by their class's __call__",
}


NEWEST = (3, 15)


def run(impl, *args):
    ended = implementation.run(impl, PROGRAM, *args, seconds=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def here():
    """What this Python's asyncio has: the parameters of each callable."""
    return run("stock", "describe")


@pytest.fixture(scope="module", params=["here", "newest"])
def described(request, impl, here):
    """What stock asyncio has, this Python's or the newest."""
    if request.param == "here":
        return here
    if impl == "stock":
        pytest.skip("this Python's asyncio is not the newest")
    path = PROGRAM.with_name("api") / f"asyncio-{NEWEST[0]}.{NEWEST[1]}.json"
    return json.loads(path.read_text())["callables"]


@pytest.fixture(scope="module")
def probed(described, impl, tmp_path_factory):
    """What the implementation under test does with them."""
    path = tmp_path_factory.mktemp("signatures") / "described.json"
    path.write_text(json.dumps(described))
    return run(impl, "probe", path)


def test_all_are_there(described, probed):
    assert set(described) == set(probed)
    assert len(described) > 300


def test_called_alike(probed):
    found = {name: entry["wrong"] for name, entry in probed.items() if entry["wrong"]}
    assert {name: wrong for name, wrong in found.items() if name not in DIFFERENT} == {}


def plain(parameters):
    """Without the types of constants and annotations: an enum's member is the number it stands for."""
    numbers = {"<AddressFamily.AF_UNSPEC: 0>": "0", "<AddressInfo.AI_PASSIVE: 1>": "1"}
    return [
        (name, kind, required, numbers.get(default, default)) for name, kind, required, default in parameters
    ]


def test_described_alike(described, probed):
    """A parameter may be more than stock has, if it is by keyword only: the newest asyncio's."""
    wrong = {}
    for name, entry in probed.items():
        if name in DIFFERENT or name in DESCRIBED:
            continue
        theirs, ours = plain(described[name]), plain(entry["parameters"] or ())
        known = {parameter[0] for parameter in theirs}
        newer = [p for p in ours if p[0] not in known and p[1] in ("KEYWORD_ONLY", "VAR_KEYWORD")]
        by_kwargs = [p for p in theirs if p[1] in ("KEYWORD_ONLY", "VAR_KEYWORD")] if newer else []
        rest = [p for p in ours if p not in newer]
        if rest != theirs and rest != [p for p in theirs if p not in by_kwargs]:
            wrong[name] = (theirs, ours)
    assert wrong == {}


@pytest.mark.parametrize("name", sorted({*DIFFERENT, *DESCRIBED}))
def test_a_difference_is_still_one(described, here, probed, impl, name):
    if impl == "stock":
        pytest.skip("a difference of ferrio's")
    if name not in described:
        pytest.skip("this Python's asyncio does not have it")
    if described is not here and name in OF_THIS_PYTHON:
        pytest.skip("a difference from this Python's asyncio, not from the newest")
    alike = plain(described[name]) == plain(probed[name]["parameters"] or ())
    assert probed[name]["wrong"] or not alike


def newest_parameters(name):
    path = PROGRAM.with_name("api") / f"asyncio-{NEWEST[0]}.{NEWEST[1]}.json"
    return json.loads(path.read_text())["callables"][name]


@pytest.mark.parametrize(
    "function, method, args",
    [
        ("open_connection", "create_connection", ()),
        ("open_unix_connection", "create_unix_connection", ()),
        ("start_server", "create_server", (print,)),
        ("start_unix_server", "create_unix_server", (print,)),
    ],
)
def test_keywords_that_are_passed_on(impl, function, method, args):
    """Streams take by keyword what the loop's method takes; what neither has is refused, and named."""
    asyncio = implementation.package(impl)
    names = [name for name, kind, *_ in newest_parameters(f"loop.{method}") if kind == "KEYWORD_ONLY"]
    if impl == "stock":
        known = inspect.signature(getattr(asyncio.EventLoop, method)).parameters
        names = [name for name in names if name in known]

    async def main():
        for name in names:
            with pytest.raises(TypeError, match="unheard_of"):
                await getattr(asyncio, function)(*args, **{name: None, "unheard_of": None})

    asyncio.run(main())
    assert len(names) >= 5


@pytest.mark.parametrize("make", ["create_task", "loop.create_task", "group.create_task", "Task"])
def test_keywords_of_a_task(impl, make):
    """`name`, `context` and `eager_start` are there however a task is made: `**kwargs` hides them from `inspect`."""
    if impl == "stock" and sys.version_info < (3, 14) and make != "Task":
        pytest.skip("this Python's asyncio has no eager_start there")
    if impl == "stock" and sys.version_info < (3, 12):
        pytest.skip("this Python's asyncio has no eager tasks")
    asyncio = implementation.package(impl)
    variable = contextvars.ContextVar("variable", default="outside")
    context = contextvars.copy_context()
    context.run(variable.set, "inside")
    seen = []

    async def coroutine():
        seen.append((asyncio.current_task().get_name(), variable.get()))

    async def main():
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            create = {
                "create_task": asyncio.create_task,
                "loop.create_task": loop.create_task,
                "group.create_task": group.create_task,
                "Task": functools.partial(asyncio.Task, loop=loop),
            }[make]
            task = create(coroutine(), name="named", context=context, eager_start=True)
            assert seen == [("named", "inside")]
            await task
            refused = coroutine()
            with pytest.raises(TypeError, match="unheard_of"):
                create(refused, unheard_of=None)
            refused.close()

    asyncio.run(main())
