"""add_reader, add_writer and their removal."""

import asyncio
import os
import socket

from observe import attempt, attempt_type, emit, new_loop, polled, scenario, spin, watch_exceptions


def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    return a, b


@scenario
async def reader():
    loop = asyncio.get_running_loop()
    a, b = pair()
    done = loop.create_future()

    def readable(*args):
        emit("readable", args, a.recv(100))
        emit(loop.remove_reader(a), loop.remove_reader(a))
        done.set_result(None)

    emit(loop.add_reader(a, readable, "argument"))
    b.send(b"hello")
    await done
    a.close()
    b.close()


@scenario
async def level_triggered():
    loop = asyncio.get_running_loop()
    a, b = pair()
    done = loop.create_future()
    b.send(b"abc")

    def readable():
        data = a.recv(1)
        emit(data)
        if data == b"c":
            loop.remove_reader(a)
            done.set_result(None)

    loop.add_reader(a.fileno(), readable)
    await done
    a.close()
    b.close()


@scenario
async def writer():
    loop = asyncio.get_running_loop()
    a, b = pair()
    done = loop.create_future()

    def writable():
        emit("writable", loop.remove_writer(a))
        done.set_result(None)

    loop.add_writer(a, writable)
    await done
    emit(loop.remove_writer(a))
    a.close()
    b.close()


@scenario
async def reader_and_writer_on_one_fd():
    loop = asyncio.get_running_loop()
    a, b = pair()
    seen = set()
    done = loop.create_future()

    def event(name, remove):
        seen.add(name)
        remove(a)
        if len(seen) == 2:
            done.set_result(None)

    loop.add_reader(a, event, "read", loop.remove_reader)
    loop.add_writer(a, event, "write", loop.remove_writer)
    b.send(b"x")
    await done
    emit(seen)
    a.close()
    b.close()


@scenario
async def replaced():
    loop = asyncio.get_running_loop()
    a, b = pair()
    done = loop.create_future()
    loop.add_reader(a, emit, "never")
    loop.add_reader(a, lambda: (loop.remove_reader(a), done.set_result("second")))
    b.send(b"x")
    emit(await done)
    a.close()
    b.close()


@scenario
async def removed_before_it_runs():
    loop = asyncio.get_running_loop()
    a, b = pair()
    b.send(b"x")
    loop.add_reader(a, emit, "never")
    loop.remove_reader(a)
    await polled()
    a.close()
    b.close()


@scenario
async def end_of_file():
    loop = asyncio.get_running_loop()
    a, b = pair()
    done = loop.create_future()
    loop.add_reader(a, lambda: (emit(a.recv(10)), loop.remove_reader(a), done.set_result(None)))
    b.close()
    await done
    a.close()


@scenario
async def pipes():
    loop = asyncio.get_running_loop()
    r, w = os.pipe()
    done = loop.create_future()
    loop.add_reader(r, lambda: (emit(os.read(r, 10)), loop.remove_reader(r), done.set_result(None)))
    os.write(w, b"pipe")
    await done
    os.close(r)
    os.close(w)


@scenario
async def bad_descriptors():
    loop = asyncio.get_running_loop()
    attempt("negative", loop.add_reader, -1, emit)
    attempt("text", loop.add_reader, "text", emit)
    attempt("None", loop.add_writer, None, emit)
    attempt("object", loop.add_reader, object(), emit)
    attempt("closed", loop.add_reader, 9999, emit)
    attempt("remove negative", loop.remove_reader, -1)
    attempt("remove unknown", loop.remove_reader, 9999)
    attempt_type("no callback", loop.add_reader, 0)


@scenario
async def regular_file():
    loop = asyncio.get_running_loop()
    with open(__file__) as f:
        attempt("add_reader", loop.add_reader, f, emit)


@scenario
async def failing_callback():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)
    a, b = pair()

    def readable():
        loop.remove_reader(a)
        raise ValueError("in a reader")

    loop.add_reader(a, readable)
    b.send(b"x")
    await polled()
    a.close()
    b.close()


@scenario
async def descriptor_of_a_transport():
    loop = asyncio.get_running_loop()
    a, b = pair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=a)
    fd = transport.get_extra_info("socket").fileno()
    for name, args in (
        ("add_reader", (emit,)),
        ("add_writer", (emit,)),
        ("remove_reader", ()),
        ("remove_writer", ()),
    ):
        try:
            getattr(loop, name)(fd, *args)
        except RuntimeError as exc:
            emit(name, str(exc).split(" is used by ")[0].replace(str(fd), "FD"))
    transport.close()
    b.close()
    await spin(2)


@scenario
def closed_loop():
    a, b = pair()
    loop = new_loop()
    loop.add_reader(a, emit)
    loop.close()
    attempt("add_reader", loop.add_reader, a, emit)
    attempt("remove_reader", loop.remove_reader, a)
    attempt("add_writer", loop.add_writer, a, emit)
    attempt("remove_writer", loop.remove_writer, a)
    a.close()
    b.close()


@scenario
async def reused_descriptor():
    loop = asyncio.get_running_loop()
    a, b = pair()
    fd = a.fileno()
    loop.add_reader(a, emit, "old")
    loop.remove_reader(a)
    a.close()
    b.close()
    c, d = pair()
    os.dup2(c.fileno(), fd)
    done = loop.create_future()
    loop.add_reader(fd, lambda: (emit("new", os.read(fd, 10)), loop.remove_reader(fd), done.set_result(None)))
    d.send(b"fresh")
    await done
    if fd not in (c.fileno(), d.fileno()):
        os.close(fd)
    c.close()
    d.close()
