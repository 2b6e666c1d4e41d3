"""Where asyncio's objects take attributes, weak references or subclasses, ours do."""

import json
from pathlib import Path

import implementation
import pytest

PROGRAM = Path(__file__).with_name("attributes.py")

DIFFERENT = {
    ("as_completed", "subclass"): "the iterator's class is not made to be derived from",
}


def abilities(impl):
    ended = implementation.run(impl, PROGRAM, seconds=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def stock():
    return abilities("stock")


@pytest.fixture(scope="module")
def tested(impl):
    return abilities(impl)


def test_abilities(stock, tested):
    missing = {
        (name, ability)
        for name, expected in stock.items()
        for ability in expected
        if ability not in tested[name] and (name, ability) not in DIFFERENT
    }
    assert missing == set()
    assert {"attribute", "weak", "subclass"} <= set(stock["Timeout"])


@pytest.mark.parametrize(("name", "ability"), DIFFERENT)
def test_a_difference_is_still_one(tested, impl, name, ability):
    if impl == "stock":
        pytest.skip("a difference of ferrio's")
    assert ability not in tested[name]
