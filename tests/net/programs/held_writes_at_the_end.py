"""Writes on a connection that always makes two, and then the process forks or ends."""

import asyncio
import os
import socket
import sys
import threading
import warnings

# The interpreter warns of forks beside threads (3.12).
warnings.simplefilter("ignore", DeprecationWarning)
# Ends are what this is about: what is open at the end is open on purpose.
warnings.simplefilter("ignore", ResourceWarning)


class HeadAndBody(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.answered = asyncio.Event()

    def data_received(self, data):
        self.transport.write(b"head")
        self.transport.write(b"body")
        self.answered.set()


async def used(peer, ours):
    _, protocol = await asyncio.get_running_loop().create_connection(HeadAndBody, sock=ours)
    for _ in range(32):
        protocol.answered.clear()
        peer.send(b"?")
        await protocol.answered.wait()
        await asyncio.sleep(0)
        assert peer.recv(100) == b"headbody"
    return protocol.transport


def exit_in_daemon_thread(ours, peer):
    """The interpreter ends while a step of a loop in another thread waits for good."""
    written, never = threading.Event(), threading.Lock()
    never.acquire()

    async def main():
        transport = await used(peer, ours)
        transport.write(b"1")
        transport.write(b"2")
        written.set()
        never.acquire()

    threading.Thread(target=lambda: asyncio.run(main(), debug=False), daemon=True).start()
    written.wait()


def fork(ours, peer, go_on):
    async def main():
        transport = await used(peer, ours)
        transport.write(b"1")
        transport.write(b"2")
        if os.fork() == 0:
            # The child shares the socket: what it writes arrives, and what the parent wrote does not arrive again.
            transport.write(b"3")
            if go_on:
                return
            os._exit(0)
        assert os.wait()[1] == 0
        transport.write(b"4")
        transport.abort()

    asyncio.run(main(), debug=False)


what = sys.argv[1]
ours, peer = (socket.socket(fileno=int(number)) for number in sys.argv[2:])
if what == "exit_in_daemon_thread":
    exit_in_daemon_thread(ours, peer)
else:
    fork(ours, peer, go_on=what == "fork_and_go_on")
