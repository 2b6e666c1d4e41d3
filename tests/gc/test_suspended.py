"""Each coroutine of the library, suspended in a cycle with its owner, is collected when its loop is closed or dropped.

The list of those that are written in Rust is read from the sources: a new one has to be added to ``suspended.py``, or
to those here that cannot wait or wait within another.
"""

import functools
import json
import pathlib
import re

import implementation
import pytest
from suspended import CASES

SCRIPT = pathlib.Path(__file__).parent / "suspended.py"
SOURCES = pathlib.Path(__file__).parents[2] / "crates" / "ferrio" / "src"

# Rust futures by `__qualname__`, and the case in which each waits.
WAITS_IN = {
    "BaseEventLoop.shutdown_default_executor": "shutdown_default_executor",
    "_AsCompletedIterator._wait_for_one": "as_completed",
    "_cancel_and_wait": "cancel_and_wait",
    "_connect_sock": "create_connection_with_happy_eyeballs",
    "_create_server_getaddrinfo": "create_server_on_two_hosts",
    "_sendfile_native": "sendfile",
    "_sock_sendfile_fallback": "sock_sendfile_through_memory",
    "_sock_sendfile_native": "sock_sendfile",
    "create_connection": "create_connection",
    "create_datagram_endpoint": "create_datagram_endpoint",
    "create_server": "create_server",
    "create_unix_connection": "create_unix_connection",
    "sendfile": "sendfile",
    "serve_forever": "serve_forever",
    "sock_accept": "sock_accept",
    "sock_connect": "sock_connect",
    "sock_recv": "sock_recv",
    "sock_recv_into": "sock_recv_into",
    "sock_recvfrom": "sock_recvfrom",
    "sock_recvfrom_into": "sock_recvfrom_into",
    "sock_sendall": "sock_sendall_of_a_view",
    "sock_sendfile": "sock_sendfile",
    "sock_sendmsg": "sock_sendmsg",
    "sock_sendto": "sock_sendto",
    "staggered_race": "staggered_race",
    "staggered_race.<locals>.run_one_coro": "staggered_race",
    "wait": "wait",
    "wait_for": "wait_for_whose_time_is_up",
}

# What these keep over an await is in the frame as well (the compiler sees to it); no case here holds them back: they
# wait for a turn of the loop, for a thread or the kernel, which end, or only pass on to one of the others. A child and
# a peer's handshake are held back in tests/subprocesses and tests/tls, without a cycle around them.
NOT_HELD_BACK = re.compile(
    r"BaseEventLoop\.shutdown_asyncgens|BinaryFile\..*|TextFile\..*|Opening\.__aexit__|open|(read|write)_(bytes|text)"
    r"|to_thread|get(addr|name)info|_ensure_resolved|_wrap_awaitable|__a(enter|exit)__|wait_closed|start_serving"
    r"|create_unix_server|connect_accepted_socket|_sendfile_fallback|StreamWriter\..*|_AsCompletedIterator\.__anext__"
    r"|start_tls|Process\..*|BaseSubprocessTransport\..*|(create_)?subprocess_(exec|shell)|_make_subprocess_transport"
    r"|_spawn\w*|_start_child\w*"
)


@functools.cache
def verdicts(impl):
    ended = implementation.run(impl, SCRIPT, seconds=240)
    lines = map(json.loads, ended.stdout.splitlines())
    return {(name, how): died for name, how, died in lines}, ended.stderr[-3000:]


@pytest.mark.parametrize("how", ["closed", "dropped"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_collected(name, how, impl):
    died, stderr = verdicts(impl)
    assert (name, how) in died, f"it did not get that far:\n{stderr}"
    assert died[name, how], "its owner outlived the collection"


@pytest.mark.skipif(
    implementation.chosen() != implementation.DEFAULT, reason="some cases are of ferrio's alone"
)
def test_none_is_forgotten():
    pattern = re.compile(r'(?:coroutine|operation)\(\s*(?:this, )?py,\s*"([^"]+)"')
    found = {name for path in SOURCES.rglob("*.rs") for name in pattern.findall(path.read_text())}
    assert {name for name in found if not NOT_HELD_BACK.fullmatch(name)} == set(WAITS_IN)
    assert set(WAITS_IN.values()) <= set(CASES)
