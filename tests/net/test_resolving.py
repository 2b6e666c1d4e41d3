"""getaddrinfo and getnameinfo: the same answers and errors as the socket module's, and whose threads ask.

With ferrio that is native threads, unless somebody could tell the difference. All that is asked here is in
/etc/hosts, /etc/services, or nowhere.
"""

import concurrent.futures
import gc
import logging
import os
import socket
import sys
import threading
import weakref

import pytest

LINK_LOCAL = "fe80::1"
TOO_LONG = "x" * 64


def outcome(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except Exception as exc:
        return type(exc), exc.args


async def awaited(coro):
    try:
        return await coro
    except Exception as exc:
        return type(exc), exc.args


HOSTS = [
    None,
    "",
    b"",
    "localhost",
    b"localhost",
    "localhost.",
    "LOCALHOST",
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "::1",
    "::",
    "::1.2.3.4",
    "::ffff:1.2.3.4",
    "1:0:0:2::3",
    "1:0:2:3:4:5:6:7",
    LINK_LOCAL + "%lo",
    LINK_LOCAL + "%1",
    LINK_LOCAL + "%nosuchinterface",
    "name.invalid",
    "m\xfcnchen.invalid",
    "a\0b",
    b"a\0b",
    TOO_LONG,
    "a..b",
    ".",
    "\udc80",
    bytearray(b"localhost"),
    5,
]
PORTS = [
    None,
    0,
    80,
    65535,
    65536,
    -1,
    1 << 40,
    1 << 70,
    True,
    1.5,
    "",
    "80",
    b"80",
    "http",
    b"http",
    "nosuchservice",
    "8 0",
    "8\0",
    "\udc80",
    [],
]
HINTS = [
    {"family": socket.AF_INET},
    {"family": socket.AF_INET6},
    {"family": socket.AF_UNIX},
    {"family": 99},
    {"family": 1 << 40},
    {"family": "x"},
    {"type": socket.SOCK_DGRAM},
    {"type": socket.SOCK_RAW, "proto": 1},
    {"type": 77},
    {"proto": socket.IPPROTO_UDP},
    {"proto": socket.IPPROTO_SCTP},
    {"flags": socket.AI_PASSIVE},
    {"flags": socket.AI_CANONNAME},
    {"flags": socket.AI_NUMERICHOST},
    {"flags": socket.AI_NUMERICSERV},
    {"flags": socket.AI_V4MAPPED, "family": socket.AF_INET6},
    {"flags": 1 << 30},
    {"flags": None},
]
ADDRESSES = [
    ("127.0.0.1", 80),
    ("127.0.0.1", 0),
    ("127.0.0.1", 65535),
    ("127.0.0.1", 70000),
    ("127.0.0.1", -1),
    ("127.0.0.1", "80"),
    ("127.0.0.1", 80, 0),
    ("127.0.0.1",),
    ("127.1", 80),
    ("::1", 80),
    ("::1", 80, 5),
    ("::1", 80, 0, 0),
    ("::1", 80, 1 << 20, 0),
    ("::1", 80, 0, 0, 0),
    ("::1.2.3.4", 9),
    (LINK_LOCAL, 80, 0, 1),
    ("localhost", 80),
    ("", 80),
    (b"127.0.0.1", 80),
    (),
    ["127.0.0.1", 80],
    None,
]


@pytest.mark.parametrize("host", HOSTS, ids=repr)
def test_hosts(clean_run, loop, host):
    expected = outcome(socket.getaddrinfo, host, 80, type=socket.SOCK_STREAM)
    assert clean_run(awaited(loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM))) == expected


@pytest.mark.parametrize("port", PORTS, ids=repr)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", None], ids=repr)
def test_ports(clean_run, loop, host, port):
    expected = outcome(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    assert clean_run(awaited(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))) == expected


@pytest.mark.parametrize("hints", HINTS, ids=repr)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", None], ids=repr)
def test_hints(clean_run, loop, host, hints):
    expected = outcome(socket.getaddrinfo, host, 80, **hints)
    assert clean_run(awaited(loop.getaddrinfo(host, 80, **hints))) == expected


def test_kinds_of_what_is_given(clean_run, loop):
    """Numbers are enums where there is a word for them, as in the socket module."""
    infos = clean_run(loop.getaddrinfo("localhost", "http", type=socket.SOCK_STREAM))
    expected = socket.getaddrinfo("localhost", "http", type=socket.SOCK_STREAM)
    assert [[type(part) for part in info] for info in infos] == [
        [type(part) for part in info] for info in expected
    ]


@pytest.mark.parametrize("flags", [0, 3, socket.NI_NAMEREQD, socket.NI_DGRAM, 1 << 20, "x"], ids=repr)
@pytest.mark.parametrize("address", ADDRESSES, ids=repr)
def test_names(clean_run, loop, address, flags):
    expected = outcome(socket.getnameinfo, address, flags)
    assert clean_run(awaited(loop.getnameinfo(address, flags))) == expected


@pytest.fixture
def submitted(loop):
    """The names of the functions that are given to an executor of the user's."""

    class Executor(concurrent.futures.ThreadPoolExecutor):
        def submit(self, function, /, *args, **kwargs):
            names.append(function.__name__)
            return super().submit(function, *args, **kwargs)

    names = []
    with Executor() as executor:
        loop.set_default_executor(executor)
        yield names


def test_an_executor_of_the_users_is_used(clean_run, loop, submitted):
    async def main():
        await loop.getaddrinfo("localhost", 80)
        await loop.getnameinfo(("127.0.0.1", 80))

    clean_run(main())
    assert submitted == ["getaddrinfo", "getnameinfo"]


@pytest.mark.parametrize(
    ("module", "name", "arguments", "answer"),
    [
        ("socket", "getaddrinfo", ("127.0.0.1", 80), object()),
        # The socket module's function calls this one.
        ("_socket", "getaddrinfo", ("127.0.0.1", 80), []),
        ("socket", "getnameinfo", (("127.0.0.1", 80),), object()),
    ],
)
def test_a_replaced_function_is_called(clean_run, loop, monkeypatch, module, name, arguments, answer):
    called = []

    def replaced(*args):
        called.append(args)
        return answer

    monkeypatch.setattr(sys.modules[module], name, replaced)
    assert clean_run(getattr(loop, name)(*arguments)) == answer
    assert len(called) == 1


def test_run_in_executor_of_a_subclass_is_used(asyncio):
    class Loop(asyncio.SelectorEventLoop):
        def run_in_executor(self, executor, function, *args):
            used.append(function.__name__)
            return super().run_in_executor(executor, function, *args)

    used = []
    loop = Loop()
    try:
        infos = loop.run_until_complete(loop.getaddrinfo("localhost", 80))
        assert infos == socket.getaddrinfo("localhost", 80)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert used == ["getaddrinfo"]


def test_audit_hooks_are_told_and_may_refuse(clean_run, loop):
    class Refused(Exception):
        pass

    def hook(event, args):
        if active and event.startswith("socket.get") and "info" in event:
            events.append((event, *args))
            if refusing:
                raise Refused

    events, active, refusing = [], [True], []
    sys.addaudithook(hook)

    async def main():
        await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        await loop.getnameinfo(("127.0.0.1", 80), 3)
        refusing.append(True)
        for coro in loop.getaddrinfo("localhost", 80), loop.getnameinfo(("127.0.0.1", 80)):
            with pytest.raises(Refused):
                await coro

    try:
        clean_run(main())
    finally:
        active.clear()
    assert events[:2] == [
        ("socket.getaddrinfo", "localhost", 80, 0, socket.SOCK_STREAM, 0),
        ("socket.getnameinfo", ("127.0.0.1", 80)),
    ]


def test_no_python_thread_is_needed(clean_run, loop):
    if not hasattr(loop, "sock_recvmsg"):
        pytest.skip("asyncio asks in threads of its executor")
    before = threading.enumerate()

    async def main():
        await loop.getaddrinfo("localhost", "http")
        await loop.getnameinfo(("127.0.0.1", 80))

    clean_run(main())
    assert threading.enumerate() == before
    assert loop._default_executor is None


def test_many_at_once(asyncio, clean_run, loop):
    async def main():
        return await asyncio.gather(*(loop.getaddrinfo("localhost", port) for port in range(200)))

    assert clean_run(main()) == [socket.getaddrinfo("localhost", port) for port in range(200)]


def test_a_cancelled_lookup_leaves_the_loop_alone(asyncio, clean_run, loop):
    async def main():
        for turns in range(20):
            lookup = asyncio.ensure_future(loop.getaddrinfo("localhost", 80))
            for _ in range(turns % 5):
                await asyncio.sleep(0)
            lookup.cancel()
            await asyncio.wait([lookup])
        await loop.getaddrinfo("localhost", 80)

    clean_run(main())


def test_the_loop_may_be_closed_with_a_lookup_in_flight(asyncio):
    """The thread finds nobody to tell, and does not keep what waited."""

    class Noted:
        pass

    async def look(noted):
        await loop.getaddrinfo("localhost", 80)

    async def main():
        noted = Noted()
        lookup = asyncio.ensure_future(look(noted))
        lookup._log_destroy_pending = False
        await asyncio.sleep(0)
        return weakref.ref(noted), weakref.ref(lookup)

    for _ in range(20):
        loop = asyncio.new_event_loop()
        noted, lookup = loop.run_until_complete(main())
        loop.close()
        gc.collect()
        if hasattr(loop, "sock_recvmsg"):
            assert noted() is None
            assert lookup() is None


def test_a_closed_loop_that_has_resolved_keeps_no_descriptor(asyncio):
    def opened():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    before = opened()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(loop.getaddrinfo("localhost", 80))
    loop.close()
    assert opened() == before


def test_a_loop_that_stops_and_goes_on_gets_its_answer(asyncio, clean_run, loop):
    async def begin():
        lookup = asyncio.ensure_future(loop.getaddrinfo("localhost", 80))
        await asyncio.sleep(0)
        return lookup

    lookup = clean_run(begin())
    assert clean_run(lookup) == socket.getaddrinfo("localhost", 80)


def test_the_end_of_the_executor(asyncio, clean_run, loop):
    async def main():
        begun = asyncio.ensure_future(loop.getaddrinfo("localhost", 80))
        await asyncio.sleep(0)
        await loop.shutdown_default_executor()
        assert await begun == socket.getaddrinfo("localhost", 80)
        for coro in loop.getaddrinfo("localhost", 80), loop.getnameinfo(("127.0.0.1", 80)):
            with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
                await coro

    clean_run(main())


@pytest.mark.parametrize("slow", [False, True], ids=["fast", "slow"])
def test_debug_mode_reports(clean_run, loop, caplog, slow):
    loop.set_debug(True)
    # Everything is slow, or nothing.
    loop.slow_callback_duration = -1 if slow else 1e6
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main():
        await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)

    clean_run(main())
    found = [record for record in caplog.records if "Getting address info" in record.getMessage()]
    assert [record.levelno for record in found] == [logging.INFO if slow else logging.DEBUG]
    assert (
        found[0]
        .getMessage()
        .startswith(f"Getting address info localhost:80, type={socket.SOCK_STREAM!r} took ")
    )


def test_connecting_by_name(asyncio, clean_run, loop):
    class Serving(asyncio.Protocol):
        def connection_lost(self, exc):
            served.set_result(None)

    async def main():
        server = await loop.create_server(Serving, "localhost", 0)
        # Of the machine's families for that name, the first.
        address = server.sockets[0].getsockname()
        port = address[1]
        transport, _ = await loop.create_connection(asyncio.Protocol, "localhost", port)
        assert transport.get_extra_info("peername") == address
        transport.close()
        await asyncio.wait_for(served, 30)
        server.close()
        with pytest.raises(socket.gaierror) as caught:
            await loop.create_connection(asyncio.Protocol, "name.invalid", port)
        assert caught.value.errno in {socket.EAI_NONAME, socket.EAI_AGAIN}

    served = loop.create_future()
    clean_run(main())
