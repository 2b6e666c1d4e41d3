"""What objects of asyncio's take: attributes, weak references, subclasses; test_attributes.py starts this."""

import asyncio
import json
import os
import sys
import weakref


async def subjects():
    """One object of each kind."""
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    datagram, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    # The transports own them.
    ends = [open(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]  # noqa: SIM115
    read_pipe, _ = await loop.connect_read_pipe(asyncio.Protocol, ends[0])
    write_pipe, _ = await loop.connect_write_pipe(asyncio.Protocol, ends[1])
    done = loop.create_future()
    done.set_result(None)
    return {
        "loop": loop,
        "Future": loop.create_future(),
        "Task": asyncio.current_task(),
        "gather": asyncio.gather(done),
        "as_completed": asyncio.as_completed([done]),
        "Handle": loop.call_soon(int),
        "TimerHandle": loop.call_later(60, int),
        "Server": server,
        "StreamReader": reader,
        "StreamWriter": writer,
        "StreamReaderProtocol": writer.transport.get_protocol(),
        "stream transport": writer.transport,
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
        "Protocol": asyncio.Protocol(),
        "Transport": asyncio.Transport(),
    }


def attribute(obj):
    obj.note = "a note"
    assert obj.note == "a note" and vars_of(obj).get("note") == "a note"
    del obj.note
    assert not hasattr(obj, "note")


def vars_of(obj):
    """Stock's futures have attributes, and no `__dict__` that shows them."""
    return getattr(obj, "__dict__", None) or {"note": obj.note}


def weak(obj):
    assert weakref.ref(obj)() is obj


def keyed(obj):
    assert weakref.WeakKeyDictionary({obj: 1})[obj] == 1


def subclass(obj):
    class Derived(type(obj)):
        extra = 1

        def __repr__(self):
            return "derived"

    assert issubclass(Derived, type(obj)) and Derived.extra == 1


def attribute_of_the_class(obj):
    cls = type(obj)
    cls.note = "a note"
    assert obj.note == "a note"
    del cls.note


async def main():
    result = {}
    for name, obj in (await subjects()).items():
        result[name] = []
        for ability in (attribute, weak, keyed, subclass, attribute_of_the_class):
            try:
                ability(obj)
            except (AttributeError, TypeError):
                continue
            result[name].append(ability.__name__)
    print(json.dumps(result))
    sys.stdout.flush()
    # Everything that was opened to have a look at it goes with the process.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
