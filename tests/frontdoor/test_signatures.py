"""Every function, method and class of asyncio's takes the arguments that asyncio's takes, in the ways it takes them.

Found out by calling: what `inspect.signature()` reads is what a docstring says.  That has to be right too, and is
compared as well.  What is compared with is the running Python's own asyncio.
"""

import json
import sys
from pathlib import Path

import implementation
import pytest

PROGRAM = Path(__file__).with_name("callables.py")

# Not like stock, and why.
DIFFERENT = {
    "BaseEventLoop": "takes the selector that its derived class is given",
    "create_subprocess_exec": "subprocesses are not built",
    "create_subprocess_shell": "subprocesses are not built",
    "loop.subprocess_exec": "subprocesses are not built",
    "loop.subprocess_shell": "subprocesses are not built",
}

if sys.version_info < (3, 12):
    DIFFERENT["loop.shutdown_default_executor"] = (
        "the timeout came with 3.12, and ferrio has it on every Python"
    )

# Called in the same ways, and not described alike.
DESCRIBED = {
    "eager_task_factory": "a factory is an object, and inspect describes those by their class's __call__",
}


def run(impl, *args):
    ended = implementation.run(impl, PROGRAM, *args, seconds=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def described():
    """What stock asyncio has: the parameters of each callable."""
    return run("stock", "describe")


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
        by_kwargs = [p for p in theirs if p[1] == "KEYWORD_ONLY"] if newer else []
        rest = [p for p in ours if p not in newer]
        if rest != theirs and rest != [p for p in theirs if p not in by_kwargs]:
            wrong[name] = (theirs, ours)
    assert wrong == {}


@pytest.mark.parametrize("name", sorted({*DIFFERENT, *DESCRIBED}))
def test_a_difference_is_still_one(described, probed, impl, name):
    if impl == "stock":
        pytest.skip("a difference of ferrio's")
    if name not in described:
        pytest.skip("this Python's asyncio does not have it")
    alike = plain(described[name]) == plain(probed[name]["parameters"] or ())
    assert probed[name]["wrong"] or not alike
