"""Since 3.15 all calls of a connection's protocol share one context, a copy of the one that made the connection."""

import contextvars
import socket
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 15), reason="each call has a context of its own until 3.15"
)

var = contextvars.ContextVar("var", default="default")


def test_each_call_sees_what_the_one_before_has_set(asyncio):
    seen = []

    class Seeing(asyncio.Protocol):
        def note(self, name):
            seen.append((name, var.get()))
            var.set(name)

        def connection_made(self, transport):
            self.note("made")
            self.lost = asyncio.get_running_loop().create_future()

        def data_received(self, data):
            self.note("data")

        def eof_received(self):
            self.note("eof")

        def connection_lost(self, exc):
            self.note("lost")
            self.lost.set_result(None)

    async def main():
        ours, peer = socket.socketpair()
        with peer:
            var.set("maker")
            _, protocol = await asyncio.get_running_loop().create_connection(Seeing, sock=ours)
            var.set("later")
            peer.send(b"x")
            while len(seen) < 2:
                await asyncio.sleep(0)
            peer.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(protocol.lost, 10)
            assert var.get() == "later"

    asyncio.run(main())
    assert seen == [("made", "maker"), ("data", "made"), ("eof", "data"), ("lost", "eof")]
