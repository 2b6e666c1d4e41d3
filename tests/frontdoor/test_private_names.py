"""Names with an underscore, and whatever else asyncio's modules have: programs import and patch them.

Everything that the running Python's asyncio has is there, or is in the table below with the reason why not.
"""

import json
import re
import sys
from pathlib import Path

import implementation
import pytest

PROGRAM = Path(__file__).with_name("private_names.py")

_STEPS = "a step of how asyncio's loop does it; ours goes other ways, and public code was not seen to call it"
_ON_INSTANCES = "a slot in asyncio's class; here every instance has the attribute"
_NOBODY = "public code was not seen to use it"

# Patterns of what is missing; those of the second table are there to 3.12 only, those of the third since 3.14.
MISSING = {
    r"unix_events\.waitstatus_to_exitcode": _NOBODY,
    r"unix_events\.\w+\._(do_wait|do_waitpid|do_waitpid_all|sig_chld|init_watcher)": _STEPS,
    r"\w+\.\w+\._(sock_\w+|accept_connection2?|start_serving|connect_sock)": _STEPS,
    r"\w+\.\w+\._(create_connection_transport|create_server_getaddrinfo|getaddrinfo_debug|do_shutdown)": _STEPS,
    r"\w+\.\w+\._process_self_data": _STEPS,
    r"\w+\.\w+Transport\._(read_ready\w*|write_ready|sendto_ready|add_reader|buffer_factory)": _STEPS,
    r"\w+\.\w+Transport\._(call_connection_lost|fatal_error|force_close|close|set_write_buffer_limits)": _STEPS,
    r"\w+\.\w+Transport\._(maybe_(pause|resume)_protocol|write_send|write_sendmsg|get_sendmsg_buffer)": _STEPS,
    r"\w+\.\w+Transport\._adjust_leftover_buffer": _STEPS,
    r"sslproto\.SSLProtocol\._(do_read__\w+|on_shutdown_complete|set_state|handshake_start_time)": _STEPS,
    r"sslproto\.SSLProtocol\._set_(read|write)_buffer_limits": _STEPS,
    r"base_events\._SendfileFallbackProtocol\.(drain|restore)": _STEPS,
    r"locks\.Barrier\._(block|exit|release|wait)": _STEPS,
    r"tasks\._AsCompletedIterator\._(handle_completion|handle_timeout|wait_for_one)": _STEPS,
    r"timeouts\.Timeout\._insert_timeout_error": _STEPS,
    r"runners\.Runner\._on_sigint": _STEPS,
    r"(futures|tasks)\._Py\w+\._(Future|Task)__\w+": "of the twin that asyncio has in Python",
    r"(futures|tasks)\._Py\w+\._cancelled_exc": "of the twin that asyncio has in Python",
    r"(transports|sslproto)\.\w+\._(extra|high_water|loop|low_water|protocol_paused)": _ON_INSTANCES,
    r"events\.\w*Handle\._repr": _ON_INSTANCES,
    r"locks\._BarrierState": "states are strings here",
    r"events\.(_RunningLoop|_running_loop|_init_event_loop_policy|on_fork)": "the running loop is native",
    r"tasks\._eager_tasks": "the registry does not tell tasks that were started eagerly from others",
    r"coroutines\.(_COROUTINE_TYPES|_iscoroutine_typecache)": "what is a coroutine is decided natively",
    r"(futures|tasks)\._asyncio": _NOBODY,
    r"(constants\.enum|log\.logging|staggered\.exceptions_mod|timeouts\.TracebackType)": _NOBODY,
    r"unix_events\.(base_events|events|selector_events|_sighandler_noop)": _NOBODY,
    r"selector_events\.(base_events|SC_IOV_MAX|_test_selector_event)": _NOBODY,
    r"base_events\._HAS_IPv6": _NOBODY,
}
MISSING_TO_3_12 = {
    r"base_futures\.get_ident": _NOBODY,
    r"coroutines\.traceback": _NOBODY,
    r"events\.(_get_event_loop|_c__get_event_loop|_py__get_event_loop)": _NOBODY,
    r"locks\.tasks": _NOBODY,
    r"staggered\.typing": _NOBODY,
    r"tasks\.(_ensure_future|_is_coroutine|_set_task_name|_wrap_awaitable|warnings)": _NOBODY,
}
MISSING_SINCE_3_14 = {
    r"coroutines\._iscoroutinefunction": _NOBODY,
    r"events\._ThreadSafeHandle\._lock": "the lock is native",
    r"graph\._build_graph_for_future": _STEPS,
    r"selector_events\._SelectorDatagramTransport\._header_size": _NOBODY,
    r"selector_events\.\w+Transport\._(add_writer|call_soon)": _STEPS,
    r"streams\.StreamReader\._replace_transport": _STEPS,
    r"taskgroups\.TaskGroup\._aexit": _STEPS,
    r"tasks\.(_discard_awaited_by|_log_on_exception)": _STEPS,
    r"unix_events\._(Pidfd|Threaded)ChildWatcher": "children are watched without a watcher object",
}


def run(impl, *args):
    ended = implementation.run(impl, PROGRAM, *args, seconds=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def missing(impl, tmp_path_factory):
    """The names that stock has and the implementation under test lacks."""
    names = run("stock")
    assert {"base_events", "tasks", "futures"} <= set(names)
    path = tmp_path_factory.mktemp("names") / "names.json"
    path.write_text(json.dumps(names))
    return run(impl, path)


def test_every_name_is_there_or_has_a_reason(missing):
    patterns = [
        *MISSING,
        *(MISSING_TO_3_12 if sys.version_info < (3, 13) else ()),
        *(MISSING_SINCE_3_14 if sys.version_info >= (3, 14) else ()),
    ]
    assert [name for name in missing if not any(re.fullmatch(p, name) for p in patterns)] == []


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="the first table is 3.13's")
@pytest.mark.parametrize("pattern", MISSING)
def test_a_reason_is_still_needed(missing, impl, pattern):
    if impl == "stock":
        pytest.skip("reasons of ferrio's")
    assert any(re.fullmatch(pattern, name) for name in missing)
