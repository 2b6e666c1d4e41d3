"""Which arguments asyncio's functions and methods take, found by calling them; test_signatures.py starts this.

    callables.py describe               parameters of everything public, as JSON, from `inspect.signature`
    callables.py probe DESCRIPTION      what each parameter named there is, found by calling

No call may do anything: each one has an argument too many, an unknown keyword, or lacks a required one, so that it is
refused before it runs; and the words of the TypeError say what is wrong with it.
"""

import asyncio
import inspect
import json
import os
import re
import socket
import sys

# Nobody has a parameter of that name.
UNKNOWN = "unheard_of"

# What is wrong with a call that has one argument too many, which is called so. C functions only count.
TOO_MANY = f"'{UNKNOWN}'|takes no (keyword )?arguments|takes (at most|exactly) \\d"

# Written in C, and `inspect` cannot read them before Python 3.13.
IN_C = {"add_done_callback": "(fn, /, *, context=None)"}


async def subjects():
    """What to look at: names and the objects that have the functions."""
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    datagram, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    # The transports own them.
    ends = [open(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]  # noqa: SIM115
    read_pipe, _ = await loop.connect_read_pipe(asyncio.Protocol, ends[0])
    write_pipe, _ = await loop.connect_write_pipe(asyncio.Protocol, ends[1])
    pair = socket.socketpair()
    unix, _ = await loop.create_unix_connection(asyncio.Protocol, sock=pair[0])
    instances = {
        "loop": loop,
        "Future": loop.create_future(),
        "Task": asyncio.current_task(),
        "Handle": loop.call_soon(int),
        "TimerHandle": loop.call_later(60, int),
        "Server": server,
        "StreamReader": reader,
        "StreamWriter": writer,
        "StreamReaderProtocol": writer.transport.get_protocol(),
        "stream transport": writer.transport,
        "unix transport": unix,
        "datagram transport": datagram,
        "read pipe": read_pipe,
        "write pipe": write_pipe,
        "transport socket": writer.get_extra_info("socket"),
        "Lock": asyncio.Lock(),
        "Event": asyncio.Event(),
        "Condition": asyncio.Condition(),
        "Semaphore": asyncio.Semaphore(),
        "BoundedSemaphore": asyncio.BoundedSemaphore(),
        "Barrier": asyncio.Barrier(1),
        "Queue": asyncio.Queue(),
        "LifoQueue": asyncio.LifoQueue(),
        "PriorityQueue": asyncio.PriorityQueue(),
        "Timeout": asyncio.timeout(None),
        "TaskGroup": asyncio.TaskGroup(),
        "Runner": asyncio.Runner(),
        "policy": asyncio.events._get_event_loop_policy()
        if sys.version_info >= (3, 14)
        else asyncio.get_event_loop_policy(),
    }
    found = {}
    for name in sorted(asyncio.__all__):
        value = getattr(asyncio, name)
        if callable(value):
            found[name] = value
        if isinstance(value, type):
            for method in sorted(vars(value)):
                # A class method or static method, and functions that want an instance of their class.
                if not method.startswith("_") and isinstance(vars(value)[method], classmethod | staticmethod):
                    found[f"{name}.{method}"] = getattr(value, method)
    for base in (
        "AbstractEventLoop",
        "AbstractServer",
        "BaseProtocol",
        "Protocol",
        "BufferedProtocol",
        "DatagramProtocol",
        "SubprocessProtocol",
        "BaseTransport",
        "ReadTransport",
        "WriteTransport",
        "Transport",
        "DatagramTransport",
        "SubprocessTransport",
    ):
        instances[base] = getattr(asyncio, base)()
    for name, instance in instances.items():
        for method in sorted(dir(instance)):
            value = getattr(type(instance), method, None)
            if callable(value) and not isinstance(value, type) and is_named(method):
                found[f"{name}.{method}"] = getattr(instance, method)
    found["trsock.TransportSocket"] = asyncio.trsock.TransportSocket
    found["staggered.staggered_race"] = asyncio.staggered.staggered_race
    return found


def is_named(method):
    """Whether a method has a name that programs call it by: not a private one, and not an operator's."""
    return not method.startswith("_") or method in ("__aexit__", "__exit__")


def describe(function):
    """The parameters of *function*: name, kind, whether it is required; None where nobody can say."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        text = IN_C.get(getattr(function, "__name__", None))
        if text is None:
            return None
        namespace = {}
        exec(f"def f{text}: pass", namespace)
        signature = inspect.signature(namespace["f"])
    return [
        [name, parameter.kind.name, parameter.default is parameter.empty, shown(parameter.default)]
        for name, parameter in signature.parameters.items()
    ]


def shown(default):
    """A default as text that is the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(default))


def complaint(function, *args, **kwargs):
    """What a call that cannot be right is refused with."""
    try:
        result = function(*args, **kwargs)
    except TypeError as exc:
        return str(exc)
    except Exception as exc:
        return f"it ran, and raised {type(exc).__name__}: {exc}"
    if hasattr(result, "close"):
        result.close()
    return "it ran"


def probe(function, parameters):
    """Where *function* differs from what *parameters* say about it, as sentences; found by calling."""
    own = describe(function) or []
    names = {name: kind for name, kind, *_ in parameters if not kind.startswith("VAR")}
    # Names that are new in a later asyncio may be taken, also where they are taken by way of `**kwargs`.
    kinds = {kind for _, kind, *_ in (*parameters, *own)}
    positional = [name for name, kind in names.items() if kind.startswith("POSITIONAL")]
    required = [name for name, _, needed, _ in parameters if needed and name in names]
    wrong = []

    def given(*but):
        """What has to be given, without *but*: by name where that is possible."""
        unnamed = [name for name in required if names[name] == "POSITIONAL_ONLY" and name not in but]
        return [None] * len(unnamed), {name: None for name in required if name not in (*but, *unnamed)}

    def expect(what, refusal, *args, **kwargs):
        words = complaint(function, *args, **kwargs)
        if not re.search(refusal, words):
            wrong.append(f"{what}: {words}")

    for name, kind in names.items():
        args, kwargs = given(name)
        if kind == "POSITIONAL_ONLY":
            if "VAR_KEYWORD" not in kinds:
                expect(f"{name} by keyword", "keyword|exactly", *args, **kwargs, **{name: None})
        elif "VAR_KEYWORD" not in kinds:
            # What is refused has to be the unknown name, and nothing else.
            expect(f"{name} by keyword", TOO_MANY, *args, **kwargs, **{name: None, UNKNOWN: None})
        elif name in positional:
            # Unknown names are welcome, but not the same argument twice.
            before = [None] * (positional.index(name) + 1)
            expect(f"{name} by keyword", f"multiple values.*'{name}'", *before, **{name: None})
    if "VAR_POSITIONAL" not in kinds:
        expect("one argument too many", "argument", *[None] * (len(positional) + 1))
    if "VAR_KEYWORD" not in kinds:
        expect("all by position", TOO_MANY, *[None] * len(positional), **{UNKNOWN: None})
    for name in required:
        args, kwargs = given(name)
        if names[name] != "POSITIONAL_ONLY" or not args:
            expect(f"without {name}", "argument", *args, **kwargs)
    return wrong


async def main():
    found = await subjects()
    if sys.argv[1] == "describe":
        result = {
            name: parameters
            for name, function in found.items()
            if (parameters := describe(function)) is not None
        }
    else:
        with open(sys.argv[2]) as file:
            described = json.load(file)
        result = {
            name: {
                "wrong": probe(found[name], parameters),
                "parameters": describe(found[name]),
            }
            for name, parameters in described.items()
            if name in found
        }
    print(json.dumps(result))
    sys.stdout.flush()
    # Everything that was opened to have a look at it goes with the process.
    os._exit(0)


asyncio.run(main())
