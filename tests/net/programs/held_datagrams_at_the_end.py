"""An endpoint that always answers a batch of datagrams quickly, and then the process forks or ends in a batch."""

import asyncio
import os
import socket
import sys
import threading
import warnings

# The interpreter warns of forks beside threads (3.12).
warnings.simplefilter("ignore", DeprecationWarning)


class Answering(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)
        if data == b"1":
            self.then()


async def used(peer):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Answering, local_addr=("127.0.0.1", 0))
    for _ in range(32):
        await batch(peer, protocol)
        assert [peer.recv(100), peer.recv(100)] == [b"0", b"1"]
    return transport, protocol


async def batch(peer, protocol):
    done = asyncio.get_running_loop().create_future()
    protocol.then = lambda: done.set_result(None)
    ask(peer, protocol.transport)
    await done
    await asyncio.sleep(0)


def ask(peer, transport):
    for data in (b"0", b"1"):
        peer.sendto(data, transport.get_extra_info("sockname"))


def exit_in_daemon_thread(peer):
    """The interpreter ends while a step of a loop in another thread waits for good."""
    answered, never = threading.Event(), threading.Lock()
    never.acquire()

    async def main():
        transport, protocol = await used(peer)

        def wait():
            answered.set()
            never.acquire()

        protocol.then = wait
        ask(peer, transport)
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    answered.wait()


def fork(peer, go_on):
    async def main():
        transport, protocol = await used(peer)
        forked = asyncio.get_running_loop().create_future()

        def then():
            # What was answered before is the parent's.
            if (child := os.fork()) == 0 and not go_on:
                os._exit(0)
            forked.set_result(child)

        protocol.then = then
        ask(peer, transport)
        if child := await forked:
            assert os.waitpid(child, 0)[1] == 0
        transport.abort()

    asyncio.run(main())


what, peer = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
if what == "exit_in_daemon_thread":
    exit_in_daemon_thread(peer)
else:
    fork(peer, go_on=what == "fork_and_go_on")
