"""What `ssl` itself makes of a handshake between two contexts: no socket, no loop, no asyncio.

The exceptions that a connection is to end with are compared with these.
"""

import contextlib
import ssl


def facts(exc):
    """All that a program can read in an exception of `ssl`, or in any other."""
    if exc is None:
        return None
    names = ("errno", "strerror", "reason", "library", "verify_code", "verify_message", "filename")
    return type(exc), exc.args, str(exc), {name: getattr(exc, name, None) for name in names}


def handshake(client, server, server_hostname="localhost"):
    """The exceptions that the handshake ends with for (client, server): None for a side that is content.

    Both sides go on until neither can, so that an alert has reached the side that did not fail first.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=server_hostname),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    outcomes = [None, None]
    done = [False, False]
    moved = True
    while moved:
        moved = False
        for number, side in enumerate(sides):
            if outcomes[number] is not None:
                continue
            before = to_server.pending, to_client.pending
            try:
                if done[number]:
                    # In TLS 1.3 a client hears of the server's refusal after its own handshake.
                    side.read(1)
                else:
                    side.do_handshake()
                    done[number] = True
                    moved = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as exc:
                outcomes[number] = exc
            moved |= (to_server.pending, to_client.pending) != before
    return tuple(outcomes)


class Side:
    """One of two SSL objects that are connected by nothing but memory."""

    def __init__(self, context, incoming, outgoing, **options):
        self.incoming = incoming
        self.outgoing = outgoing
        self.tls = context.wrap_bio(incoming, outgoing, **options)

    def encrypted(self, data):
        """The ciphertext of *data*; the other side does not see it."""
        self.tls.write(data)
        return self.outgoing.read()

    def read_from(self, ciphertext):
        self.incoming.write(ciphertext)
        return self.tls.read(65536)


def connected(client, server):
    """Both sides after their handshake, with nothing on the way."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        Side(client, to_client, to_server, server_hostname="localhost"),
        Side(server, to_server, to_client, server_side=True),
    )
    done = set()
    while len(done) < 2:
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.tls.do_handshake()
                done.add(side)
    # A server's session tickets.
    with contextlib.suppress(ssl.SSLWantReadError):
        sides[0].tls.read(1)
    return sides
