"""In how many turns what comes from outside is seen: sockets, timers, other threads, signals.

Programs count on it.  Their tests give the other side a few `sleep(0)`, and look whether it has answered.
"""

import asyncio
import os
import signal
import socket
import threading

from observe import emit, scenario


class Turns:
    """Counts the loop's turns with a callback that always goes before what a turn finds."""

    def __init__(self, loop):
        self.loop = loop
        self.count = 0
        self.on = True
        loop.call_soon(self.tick)

    def tick(self):
        if self.on:
            self.count += 1
            self.loop.call_soon(self.tick)

    def stop(self):
        self.on = False


def socket_pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


@scenario
async def readers_and_writers():
    loop = asyncio.get_running_loop()
    ours, theirs = socket_pair()
    turns = Turns(loop)
    seen = []
    loop.add_reader(ours, lambda: (ours.recv(1), seen.append(turns.count)))
    for k in range(1, 6):
        theirs.send(b"x")
        sent = turns.count
        for _ in range(k):
            await asyncio.sleep(0)
        emit("reader", k, [at - sent for at in seen])
        seen.clear()
        loop.add_writer(ours, lambda: (loop.remove_writer(ours), seen.append(turns.count)))
        begun = turns.count
        for _ in range(k):
            await asyncio.sleep(0)
        emit("writer", k, [at - begun for at in seen])
        await asyncio.sleep(0)
        seen.clear()
    turns.stop()
    loop.remove_reader(ours)
    ours.close()
    theirs.close()


@scenario
async def timers():
    loop = asyncio.get_running_loop()
    turns = Turns(loop)
    for delay in 0, -1, 1e-9:
        for k in range(1, 6):
            seen = []
            loop.call_at(loop.time() + delay, lambda seen=seen: seen.append(turns.count))
            set_at = turns.count
            for _ in range(k):
                await asyncio.sleep(0)
            emit("timer", delay, k, [at - set_at for at in seen])
            await asyncio.sleep(0)
    turns.stop()


@scenario
async def order_within_a_turn():
    """What was queued before, then what the selector has found, then timers; what they queue has the next turn."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket_pair()

    def readable():
        ours.recv(1)
        emit("reader")
        loop.call_soon(emit, "queued by the reader")

    loop.add_reader(ours, readable)
    for _ in range(3):
        theirs.send(b"x")
        loop.call_at(0, emit, "timer")
        loop.call_soon(emit, "queued before")
        loop.call_soon(lambda: loop.call_soon(emit, "queued by a callback"))
        for _ in range(4):
            await asyncio.sleep(0)
            emit("turn")
    loop.remove_reader(ours)
    ours.close()
    theirs.close()


@scenario
async def calls_from_a_thread():
    loop = asyncio.get_running_loop()
    turns = Turns(loop)
    for k in range(1, 6):
        seen = []
        thread = threading.Thread(
            target=loop.call_soon_threadsafe, args=(lambda seen=seen: seen.append(turns.count),)
        )
        thread.start()
        thread.join()
        called = turns.count
        for _ in range(k):
            await asyncio.sleep(0)
        emit("thread", k, [at - called for at in seen])
        await asyncio.sleep(0)
    turns.stop()


@scenario
async def signals():
    loop = asyncio.get_running_loop()
    turns = Turns(loop)
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, lambda: seen.append(turns.count))
    for k in range(1, 6):
        os.kill(os.getpid(), signal.SIGUSR1)
        sent = turns.count
        for _ in range(k):
            await asyncio.sleep(0)
        emit("signal", k, [at - sent for at in seen])
        for _ in range(4):
            await asyncio.sleep(0)
        seen.clear()
    turns.stop()
    loop.remove_signal_handler(signal.SIGUSR1)


@scenario
async def sock_methods():
    loop = asyncio.get_running_loop()
    ours, theirs = socket_pair()
    turns = Turns(loop)

    async def receive(method):
        if method == "sock_recv":
            await loop.sock_recv(ours, 10)
        elif method == "sock_recv_into":
            await loop.sock_recv_into(ours, bytearray(10))
        else:
            await loop.sock_recvfrom(ours, 10)
        return turns.count

    for method in "sock_recv", "sock_recv_into", "sock_recvfrom":
        for round in range(3):
            task = asyncio.create_task(receive(method))
            for _ in range(3):
                await asyncio.sleep(0)
            await loop.sock_sendall(theirs, b"x")
            sent = turns.count
            emit(method, round, await task - sent, turns.count - sent)
    turns.stop()
    ours.close()
    theirs.close()


@scenario
async def sock_accept_and_connect():
    loop = asyncio.get_running_loop()
    turns = Turns(loop)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    for round in range(3):
        client = socket.socket()
        client.setblocking(False)

        async def accept():
            sock, _ = await loop.sock_accept(listening)
            sock.close()
            return turns.count

        task = asyncio.create_task(accept())
        await asyncio.sleep(0)
        begun = turns.count
        await loop.sock_connect(client, listening.getsockname())
        emit("connected", round, turns.count - begun)
        emit("accepted", round, await task - begun)
        client.close()
    turns.stop()
    listening.close()


@scenario
async def streams_between_two_tasks():
    loop = asyncio.get_running_loop()
    ours, theirs = socket_pair()
    reader, writer = await asyncio.open_connection(sock=ours)
    other_reader, other_writer = await asyncio.open_connection(sock=theirs)
    turns = Turns(loop)

    async def answer():
        while data := await other_reader.read(100):
            emit("asked", data.decode(), turns.count - asked)
            other_writer.write(data)

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    for k in range(1, 6):
        asked = turns.count
        writer.write(b"%d" % k)
        for _ in range(k):
            await asyncio.sleep(0)
        emit("there after", k, bytes(reader._buffer).decode())
        data = await reader.read(100)
        emit("answered", k, data.decode(), turns.count - asked)
        # So that every round begins alike.
        for _ in range(3):
            await asyncio.sleep(0)
    writer.close()
    await task
    other_writer.close()
    turns.stop()


@scenario
async def protocols_between_two_ends():
    loop = asyncio.get_running_loop()
    turns = Turns(loop)
    begun = 0

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            emit("echo", turns.count - begun)
            self.transport.write(data)

    class Client(asyncio.Protocol):
        def data_received(self, data):
            emit("client", data.decode(), turns.count - begun)

    ours, theirs = socket_pair()
    await loop.create_connection(Echo, sock=theirs)
    transport, _ = await loop.create_connection(Client, sock=ours)
    for k in range(1, 6):
        begun = turns.count
        transport.write(b"x" * k)
        for _ in range(k):
            await asyncio.sleep(0)
        emit("after", k)
        for _ in range(6):
            await asyncio.sleep(0)
    transport.close()
    for _ in range(6):
        await asyncio.sleep(0)
    turns.stop()


@scenario
async def after_many_quiet_turns():
    """Something that the program itself begins is seen at once, however long nothing has come from outside."""
    loop = asyncio.get_running_loop()
    turns = Turns(loop)
    for idle in 10, 60, 100, 1000:
        for _ in range(idle):
            await asyncio.sleep(0)
        ours, theirs = socket_pair()
        theirs.send(b"x")
        seen = []
        loop.add_reader(ours, lambda ours=ours, seen=seen: (ours.recv(1), seen.append(turns.count)))
        loop.call_later(0, lambda seen=seen: seen.append(turns.count))
        begun = turns.count
        for _ in range(3):
            await asyncio.sleep(0)
        emit("seen", idle, [at - begun for at in seen])
        loop.remove_reader(ours)
        ours.close()
        theirs.close()
    turns.stop()
