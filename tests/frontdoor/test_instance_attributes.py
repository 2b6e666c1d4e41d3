"""What stock's objects have as attributes of the instance, ours have too, or it is in the table with the reason."""

import json
import sys
from pathlib import Path

import implementation
import pytest

PROGRAM = Path(__file__).with_name("instance_attributes.py")

_STEPS = "the state of how asyncio's class does its work; ours has none that means the same"
_NOBODY = "public code was not seen to use it"

MISSING = {
    ("loop", "_coroutine_origin_tracking_saved_depth"): _NOBODY,
    ("loop", "_unix_server_sockets"): _NOBODY,
    ("as_completed", "_done"): _STEPS,
    ("as_completed", "_timeout_handle"): _STEPS,
    ("as_completed", "_todo"): _STEPS,
    ("as_completed", "_todo_left"): _STEPS,
    ("Handle", "_repr"): "what is shown is made when it is shown",
    ("TimerHandle", "_repr"): "what is shown is made when it is shown",
    ("Server", "_clients"): "the server counts its connections, and names them to close_clients()",
    ("Server", "_ssl_handshake_timeout"): _NOBODY,
    ("Server", "_ssl_shutdown_timeout"): _NOBODY,
    ("stream transport", "_protocol_connected"): _NOBODY,
    ("stream transport", "_read_ready_cb"): _STEPS,
    ("stream transport", "_write_ready"): _STEPS,
    ("datagram transport", "_buffer_size"): _NOBODY,
    ("datagram transport", "_paused"): _NOBODY,
    ("datagram transport", "_protocol_connected"): _NOBODY,
    ("datagram transport", "_server"): _NOBODY,
}
MISSING_TO_3_12 = {
    ("as_completed", f"gi_{name}"): "asyncio's is a generator there; this is the iterator of 3.13"
    for name in ("code", "frame", "running", "suspended", "yieldfrom")
}
MISSING_SINCE_3_14 = {
    ("loop", "_watcher"): "children are watched without a watcher object",
    ("as_completed", "_cur_task"): _STEPS,
}


def run(impl, *args):
    ended = implementation.run(impl, PROGRAM, *args, seconds=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def missing(impl, tmp_path_factory):
    stock = run("stock")
    assert {"_timeout_handler", "_when"} <= set(stock["Timeout"])
    path = tmp_path_factory.mktemp("attributes") / "attributes.json"
    path.write_text(json.dumps(stock))
    return {(kind, name) for kind, names in run(impl, path).items() for name in names}


def test_every_attribute_is_there_or_has_a_reason(missing):
    reasons = set(MISSING)
    if sys.version_info < (3, 13):
        reasons |= set(MISSING_TO_3_12)
    if sys.version_info >= (3, 14):
        reasons |= set(MISSING_SINCE_3_14)
    assert missing - reasons == set()


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the first table is 3.13's")
@pytest.mark.parametrize("attribute", MISSING, ids=".".join)
def test_a_reason_is_still_needed(missing, impl, attribute):
    if impl == "stock":
        pytest.skip("reasons of ferrio's")
    assert attribute in missing
