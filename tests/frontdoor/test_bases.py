"""A method that a program replaces on a base class is what the classes below it have, where asyncio's have it."""

import json
import sys
from pathlib import Path

import implementation
import pytest

PROGRAM = Path(__file__).with_name("bases.py")

_MIXIN = "a mixin for classes written in Python; ours are native and have the method themselves"
_BESIDE = "the native class of datagrams cannot be derived from that of streams"

# Class, base class, method, as in the output of the program; "*" stands for any.
DIFFERENT = {
    ("selector_events._SelectorSocketTransport", "transports._FlowControlMixin", "get_write_buffer_limits"): _MIXIN,
    ("selector_events._SelectorSocketTransport", "transports._FlowControlMixin", "set_write_buffer_limits"): _MIXIN,
    ("selector_events._SelectorDatagramTransport", "transports._FlowControlMixin", "get_write_buffer_limits"): _MIXIN,
    ("selector_events._SelectorDatagramTransport", "transports._FlowControlMixin", "set_write_buffer_limits"): _MIXIN,
    ("unix_events._UnixWritePipeTransport", "transports._FlowControlMixin", "get_write_buffer_limits"): _MIXIN,
    ("unix_events._UnixWritePipeTransport", "transports._FlowControlMixin", "set_write_buffer_limits"): _MIXIN,
    ("locks.BoundedSemaphore", "locks._ContextManagerMixin", "__aenter__"): _MIXIN,
    ("locks.BoundedSemaphore", "locks._ContextManagerMixin", "__aexit__"): _MIXIN,
    ("selector_events._SelectorDatagramTransport", "selector_events._SelectorTransport", "*"): _BESIDE,
}  # fmt: skip
if sys.version_info < (3, 12):
    # Since 3.12 stock's transport has a method of its own, too.
    DIFFERENT |= {
        (
            "selector_events._SelectorSocketTransport",
            f"transports.{base}",
            "writelines",
        ): "native on every Python"
        for base in ("ReadTransport", "Transport", "WriteTransport", "_FlowControlMixin")
    }


def seen(impl, *args):
    ended = implementation.run(impl, PROGRAM, *args, seconds=120)
    assert ended.returncode == 0, ended.stderr
    return [tuple(line) for line in json.loads(ended.stdout)]


@pytest.fixture(scope="module")
def missing(impl, tmp_path_factory):
    """What is seen on stock and not by the implementation under test."""
    stock = seen("stock")
    assert ("selector_events._SelectorSocketTransport", "transports.BaseTransport", "get_extra_info") in stock
    path = tmp_path_factory.mktemp("bases") / "bases.json"
    path.write_text(json.dumps(stock))
    return set(stock) - set(seen(impl, path))


def test_what_is_replaced_on_a_base_is_seen(missing):
    left = {(cls, base, name) for cls, base, name in missing if (cls, base, "*") not in DIFFERENT}
    assert left - set(DIFFERENT) == set()


@pytest.mark.parametrize("difference", DIFFERENT, ids=".".join)
def test_a_difference_is_still_one(missing, impl, difference):
    if impl == "stock":
        pytest.skip("a difference of ferrio's")
    assert any(all(a in (b, "*") for a, b in zip(difference, line, strict=True)) for line in missing)
