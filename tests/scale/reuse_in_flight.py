"""Operations in flight on a socket, or a file, that is closed under them: its number may be another's by then.

Closing what an operation waits on is a mistake of the program's; it must stay between the program and that operation.
"""

import asyncio
import contextlib
import os
import socket
import tempfile

from witness import (
    KINDS,
    Plain,
    listen,
    move,
    on_number,
    pair,
    program,
    receive_all,
    sockets,
    turns,
)


def waiting_operations(loop, sock):
    """Operations that have to wait, on a socket with nothing to read and no room to write."""
    yield lambda: loop.sock_recv(sock, 100)
    yield lambda: loop.sock_recv_into(sock, bytearray(100))
    yield lambda: loop.sock_recvfrom(sock, 100)
    yield lambda: loop.sock_sendall(sock, b"for the first only" * 1_000_000)


async def interrupted(loop, which):
    """(task, number): an operation in flight whose socket has been closed under it."""
    ours, peer = sockets()
    operation = list(waiting_operations(loop, ours))[which]
    task = loop.create_task(operation())
    await turns(1)
    assert not task.done()
    number = ours.fileno()
    ours.close()
    # By its end it may not make the number readable either.
    peer.close()
    return task, number


async def end(task):
    """Give an operation up whose socket is closed; it may have found out by itself."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await task


@program(beyond="fails to watch a descriptor whose former owner was closed without a word")
async def operations_against_transports():
    """The operation is given up after a transport has taken the number: the transport must go on hearing."""
    loop = asyncio.get_running_loop()
    for kind in KINDS:
        for which in range(4):
            task, number = await interrupted(loop, which)
            ours, peer = on_number(number)
            _, protocol = await loop.create_connection(kind, sock=ours)
            await turns(1)
            await end(task)
            peer.send(b"mine")
            await asyncio.wait_for(protocol.until(lambda p=protocol: p.received), 20)
            assert protocol.received == b"mine"
            # In the other direction too, with more than the socket takes.
            data = os.urandom(3_000_000)
            protocol.transport.write(data)
            protocol.transport.close()
            assert await receive_all(peer) == data
            await protocol.until_lost()
            peer.close()


@program(beyond="fails to watch a descriptor whose former owner was closed without a word")
async def operations_against_a_listener():
    loop = asyncio.get_running_loop()
    for which in range(4):
        task, number = await interrupted(loop, which)
        listening = move(listen(), number)
        made = []
        server = await loop.create_server(lambda made=made: made.append(Plain()) or made[-1], sock=listening)
        await end(task)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.send(b"hello")
            await asyncio.wait_for(until_made(made), 20)
            await made[0].until(lambda made=made: made[0].received == b"hello")
        await made[0].until_lost()
        server.close()
        await server.wait_closed()


async def until_made(made):
    while not made:
        await turns(1)


@program(beyond="fails to watch a descriptor whose former owner was closed without a word")
async def operations_against_readers_and_operations():
    """Another operation, or a reader, on the number: the old one's end leaves it waiting, and it gets its own data."""
    loop = asyncio.get_running_loop()
    for which in range(4):
        task, number = await interrupted(loop, which)
        ours, peer = on_number(number)
        receiving = loop.create_task(loop.sock_recv(ours, 100))
        await turns(1)
        await end(task)
        assert not receiving.done()
        peer.send(b"mine")
        assert await asyncio.wait_for(receiving, 20) == b"mine"
        ours.close()
        peer.close()

        task, number = await interrupted(loop, which)
        ours, peer = on_number(number)
        heard = loop.create_future()
        loop.add_reader(ours, lambda heard=heard: heard.done() or heard.set_result(None))
        await end(task)
        peer.send(b"mine")
        if which == 3:  # the others waited to read, as the reader does: asyncio has one place for both
            await asyncio.wait_for(heard, 20)
        loop.remove_reader(ours)
        ours.close()
        peer.close()


@program(beyond="fails to watch a descriptor whose former owner was closed without a word")
async def a_closed_sockets_data_goes_nowhere():
    """`sock_sendall()` with most of its data to go: closing its socket ends it, and the next owner gets nothing."""
    loop = asyncio.get_running_loop()
    for _ in range(20):
        ours, peer = sockets()
        task = loop.create_task(loop.sock_sendall(ours, b"secret" * 1_000_000))
        await turns(1)
        number = ours.fileno()
        ours.close()
        fresh, other = on_number(number)
        _, protocol = await loop.create_connection(Plain, sock=fresh)
        with contextlib.suppress(BlockingIOError):
            while peer.recv(1 << 20):
                continue
        await turns(3)
        await end(task)
        protocol.transport.write(b"mine")
        protocol.transport.close()
        assert await receive_all(other) == b"mine"
        await protocol.until_lost()
        peer.close()
        other.close()


@program(beyond="goes on with the other file")
async def a_file_closed_in_the_middle_of_sendfile():
    """The file's number is another file's by then, whose contents are nobody's business."""
    loop = asyncio.get_running_loop()
    for on_transport in (False, True):
        first = tempfile.TemporaryFile()  # noqa: SIM115 - closed under sendfile(), which is the point
        first.write(b"a" * 20_000_000)
        first.flush()
        if on_transport:
            protocol, peer = await pair()
            sending = loop.create_task(loop.sendfile(protocol.transport, first))
        else:
            ours, peer = sockets()
            sending = loop.create_task(loop.sock_sendfile(ours, first))
        await turns(1)
        assert not sending.done()
        number = first.fileno()
        first.close()
        second = tempfile.TemporaryFile()  # noqa: SIM115
        assert second.fileno() == number
        second.write(b"secret" * 5_000_000)
        second.seek(0)
        second.flush()
        got = bytearray()
        while not sending.done():
            with contextlib.suppress(BlockingIOError):
                got += peer.recv(1 << 20)
            await turns(1)
        assert isinstance(sending.exception(), (ValueError, OSError)), sending.exception()
        if on_transport:
            protocol.transport.close()
            await protocol.until_lost()
        else:
            ours.close()
        got += await receive_all(peer)
        assert set(got) == {ord("a")}
        # Nor has anybody moved the other file's position.
        assert second.tell() == 0
        second.close()
        peer.close()


@program(beyond="fails to watch a descriptor whose former owner was closed without a word")
async def a_socket_closed_in_the_middle_of_sendfile():
    """The rest of the file does not go to the next owner of the socket's number."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryFile() as file:
        file.write(b"secret" * 4_000_000)
        file.flush()
        for on_transport in (False, True):
            if on_transport:
                protocol, peer = await pair()
                number = protocol.transport.get_extra_info("socket").fileno()
                sending = loop.create_task(loop.sendfile(protocol.transport, file))
            else:
                ours, peer = sockets()
                number = ours.fileno()
                sending = loop.create_task(loop.sock_sendfile(ours, file))
            await turns(1)
            assert not sending.done()
            if on_transport:
                protocol.transport.abort()
                protocol.transport._sock.close()
            else:
                ours.close()
            fresh, other = on_number(number)
            _, new = await loop.create_connection(Plain, sock=fresh)
            with contextlib.suppress(BlockingIOError):
                while peer.recv(1 << 20):
                    continue
            await turns(3)
            await end(sending)
            new.transport.write(b"mine")
            new.transport.close()
            assert await receive_all(other) == b"mine"
            await new.until_lost()
            if on_transport:
                assert (await protocol.until_lost()) is None
            peer.close()
            other.close()
