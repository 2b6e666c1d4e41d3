"""A kernel that refuses: ENOBUFS, ENOMEM and their like, and datagram sockets that take no more.

No test can make the kernel run out of memory and go on, so a seccomp filter answers for it: chosen system calls on one
descriptor fail with one error for as long as the process lives.
"""

import asyncio
import ctypes
import errno
import os
import platform
import socket
import struct

from witness import KINDS, Plain, pair, program, receive_all, reported, turns

# By machine: sendto, sendmsg, sendmmsg, accept4.
CALLS = {"x86_64": (44, 46, 307, 288), "aarch64": (206, 211, 269, 242)}

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, FIRST_ARGUMENT = 0, 16


def refuse(fd, error, *, accept=False):
    """From now on sending (or accepting) on the descriptor *fd* fails with *error*."""
    calls = CALLS.get(platform.machine())
    if calls is None:
        print(f"cannot: the system calls of {platform.machine()} are not listed here")
        raise SystemExit(0)
    steps = []
    for call in calls[3:] if accept else calls[:3]:
        steps += [
            (LOAD_WORD, 0, 0, NUMBER),
            (JUMP_IF_EQUAL, 0, 3, call),
            (LOAD_WORD, 0, 0, FIRST_ARGUMENT),
            (JUMP_IF_EQUAL, 0, 1, fd),
            (RETURN, 0, 0, ERRNO | error),
        ]
    steps.append((RETURN, 0, 0, ALLOW))
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    zeros = (ctypes.c_ulong(0),) * 3
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), *zeros) or libc.prctl(
        PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), filter_, *zeros[:2]
    ):
        print(f"cannot: the kernel takes no seccomp filter: {os.strerror(ctypes.get_errno())}")
        raise SystemExit(0)


class Endpoint(asyncio.DatagramProtocol):
    def __init__(self):
        self.received, self.errors, self.calls = [], [], []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.received.append(data)
        if data == b"answer":
            self.transport.sendto(b"the answer", addr)

    def error_received(self, exc):
        self.errors.append(exc.errno)

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@program
async def datagrams_with_enobufs():
    """Each datagram that is refused is told of and gone; the endpoint lives, and so do the others."""
    loop = asyncio.get_running_loop()
    local = ("127.0.0.1", 0)
    sick, well, other = [
        (await loop.create_datagram_endpoint(Endpoint, local_addr=local))[1] for _ in range(3)
    ]
    target = other.transport.get_extra_info("sockname")
    _, connected = await loop.create_datagram_endpoint(Endpoint, remote_addr=target)
    for endpoint in (sick, connected):
        refuse(endpoint.transport.get_extra_info("socket").fileno(), errno.ENOBUFS)
    for number in range(50):
        sick.transport.sendto(b"lost %d" % number, target)
        connected.transport.sendto(b"lost %d" % number)
        well.transport.sendto(b"%d" % number, target)
    while len(other.received) < 50:
        await turns(1)
    assert sick.errors == connected.errors == [errno.ENOBUFS] * 50
    assert other.received == [b"%d" % number for number in range(50)]
    # Receiving goes on, and answers that are sent from in there have the same fate.
    for _ in range(20):
        well.transport.sendto(b"answer", sick.transport.get_extra_info("sockname"))
    while len(sick.received) < 20:
        await turns(1)
    assert sick.received == [b"answer"] * 20
    assert sick.errors == [errno.ENOBUFS] * 70
    for endpoint in (sick, connected):
        assert endpoint.transport.get_write_buffer_size() == 0 and not endpoint.transport.is_closing()
    for endpoint in (sick, well, other, connected):
        endpoint.transport.close()
        assert await endpoint.lost is None


@program
async def streams_with_enobufs():
    """A stream does not survive it: what is not sent cannot be skipped."""
    held = []
    for kind in KINDS:
        protocol, peer = await pair(kind)
        refuse(protocol.transport.get_extra_info("socket").fileno(), errno.ENOBUFS)
        protocol.transport.write(b"x")
        error = await protocol.until_lost()
        assert error.errno == errno.ENOBUFS
        assert await receive_all(peer) == b""
        peer.close()
        # The filter stays with the number: the next round has to have another one.
        held.append(os.dup(0))
    while held:
        os.close(held.pop())


@program
async def socket_operations_with_enobufs():
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        refuse(sock.fileno(), errno.ENOBUFS)
        for _ in range(3):
            try:
                await loop.sock_sendto(sock, b"x", ("127.0.0.1", 9))
            except OSError as exc:
                assert exc.errno == errno.ENOBUFS
            else:
                raise AssertionError("sent")


@program
async def accepting_with_enobufs():
    """One listener is refused for good: it is asked once in a while only, and the other one accepts meanwhile."""
    loop = asyncio.get_running_loop()
    made = []
    sick, well = [
        await loop.create_server(lambda: made.append(Plain()) or made[-1], "127.0.0.1", 0) for _ in range(2)
    ]
    refuse(sick.sockets[0].fileno(), errno.ENOBUFS, accept=True)
    waiting = socket.create_connection(sick.sockets[0].getsockname())
    count = 300
    for number in range(count):
        with socket.create_connection(well.sockets[0].getsockname()):
            while len(made) <= number:
                await turns(1)
    for protocol in made:
        await protocol.until_lost()
    made.clear()
    # A listener that were asked in every turn would have said so hundreds of times more.
    pauses = len({id(context["exception"]) for context in reported})
    assert 0 < pauses < count, pauses
    assert {context["message"] for context in reported} == {"socket.accept() out of system resource"}
    assert {context["exception"].errno for context in reported} == {errno.ENOBUFS}
    reported.clear()
    waiting.close()
    for server in (sick, well):
        server.close()
        await server.wait_closed()


def unix_pair():
    """Two Unix datagram sockets, the first connected to the second.

    Not a socketpair: stock takes a peer without a name for none.
    """
    ours, peer = (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
    )
    # The kernel chooses an abstract name.
    peer.bind("")
    ours.connect(peer.getsockname())
    for sock in (ours, peer):
        sock.setblocking(False)
    return ours, peer


@program
async def unix_datagrams_to_a_slow_reader():
    """The peer's queue holds a few; the rest wait here, the protocol is told to pause, and all arrive in order."""
    loop = asyncio.get_running_loop()
    ours, peer = unix_pair()
    transport, endpoint = await loop.create_datagram_endpoint(Endpoint, sock=ours)
    transport.set_write_buffer_limits(high=100_000)
    sent = []
    while not endpoint.calls:
        sent.append(b"%d" % len(sent) * 1000)
        transport.sendto(sent[-1])
    assert endpoint.calls == ["pause"] and transport.get_write_buffer_size() > 100_000
    for _ in range(20):
        sent.append(b"%d" % len(sent))
        transport.sendto(sent[-1])
    received = []
    while len(received) < len(sent):
        received.append(await loop.sock_recv(peer, 1 << 16))
        if len(received) == len(sent) // 2:
            # What is queued is sent before the end.
            transport.close()
    assert received == sent
    assert await endpoint.lost is None
    assert endpoint.calls == ["pause", "resume"] and not endpoint.errors
    peer.close()


@program(beyond="goes on counting what was refused as queued")
async def unix_datagrams_whose_reader_goes():
    """The queue is full when the peer is closed: the error is told, nobody waits for ever."""
    loop = asyncio.get_running_loop()
    ours, peer = unix_pair()
    transport, endpoint = await loop.create_datagram_endpoint(Endpoint, sock=ours)
    for number in range(300):
        transport.sendto(b"%d" % number)
    assert transport.get_write_buffer_size() > 0
    peer.close()
    while transport.get_write_buffer_size():
        await turns(1)
    assert endpoint.errors and set(endpoint.errors) <= {errno.ECONNREFUSED, errno.ENOTCONN, errno.ECONNRESET}
    transport.close()
    assert await endpoint.lost is None
