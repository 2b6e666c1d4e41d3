"""The other ends of `crowd.py`'s connections: plain sockets in a process of their own, told in lines what to do.

``python clients.py PORT``.  Connections go to many addresses of the loopback, so that no pair of addresses runs out of
ports, and are made some at a time, so that no backlog overflows: a connection that the kernel has to ask for twice
costs a second.
"""

import collections
import resource
import selectors
import socket
import struct
import sys

AT_ONCE = 256

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
port = int(sys.argv[1])
crowd = []


def connect(count):
    for _ in range(count):
        crowd.append(socket.create_connection((f"127.0.0.{len(crowd) // 2000 + 1}", port)))
    return f"connected {count}"


def exchange(messages):
    """Send each (socket, message), and have the same back from it; in any order, many at a time."""
    done = 0
    selector = selectors.DefaultSelector()
    for sock, message in messages:
        sock.sendall(message)
        selector.register(sock, selectors.EVENT_READ, [message, b""])
    while selector.get_map():
        for key, _ in selector.select():
            sock, state = key.fileobj, key.data
            state[1] += sock.recv(65536)
            if len(state[1]) >= len(state[0]):
                assert state[1] == state[0], (state[1], state[0])
                selector.unregister(sock)
                done += 1
    selector.close()
    return done


def chat(count, rounds):
    done = 0
    step = len(crowd) // count
    busy = crowd[::step][:count]
    for number in range(rounds):
        done += exchange([(sock, b"%d:%d." % (sock.fileno(), number) * (number * 50 + 1)) for sock in busy])
    return f"chatted {done}"


def name():
    return f"named {exchange([(sock, b'#%d' % number) for number, sock in enumerate(crowd)])}"


def close(count):
    for _ in range(count):
        crowd.pop().close()
    return f"closed {count}"


def end_with_reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def reset(count):
    for _ in range(count):
        end_with_reset(crowd.pop())
    return f"reset {count}"


def drain():
    """The other side ends these; whatever way it does, there is nothing more to read."""
    count = len(crowd)
    while crowd:
        with crowd.pop() as sock:
            assert sock.recv(100) == b""
    return f"drained {count}"


def barrier():
    return "here"


def storm(count, first, request=b"", rough=False):
    """Connect, have the answer, go; so many at once."""
    selector = selectors.DefaultSelector()
    left = collections.deque(range(count))
    done = 0
    while done < count:
        while left and len(selector.get_map()) < AT_ONCE:
            number = left.popleft()
            sock = socket.create_connection((f"127.0.0.{first + number // 500}", port))
            if rough and number % 2:
                if number % 4 == 1:
                    sock.sendall(request)
                end_with_reset(sock)
                done += 1
                continue
            sock.sendall(request)
            selector.register(sock, selectors.EVENT_READ)
        for key, _ in selector.select() if selector.get_map() else ():
            with key.fileobj as sock:
                assert sock.recv(100) == b"welcome"
                selector.unregister(sock)
            done += 1
    selector.close()
    return f"{'roughed' if rough else 'stormed'} {done}"


def rough(count, first):
    return storm(count, first, b"ping", True)


commands = {f.__name__: f for f in (connect, chat, name, close, reset, drain, barrier, storm, rough)}
for line in sys.stdin:
    command, *numbers = line.split()
    print(commands[command](*map(int, numbers)), flush=True)
