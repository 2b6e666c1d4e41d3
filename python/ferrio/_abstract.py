"""The abstract classes of `asyncio.events`: what a loop, a server and a policy have to offer.

They are the same objects as stock asyncio's (`_family`), because stock refuses a loop or a policy that is not an
instance of its own: `asyncio.Runner(loop_factory=ferrio.new_event_loop)` depends on it.
"""

import sys

from ._family import one_family


class AbstractServer:
    """What `loop.create_server()` returns; an asynchronous context manager that closes the server at its end."""

    def close(self):
        """Stop accepting connections; those that are open stay open."""
        raise NotImplementedError

    def close_clients(self):
        """Close every open connection, after what is buffered has been sent; since asyncio 3.13."""
        raise NotImplementedError

    def abort_clients(self):
        """Close every open connection at once, and drop what is buffered; since asyncio 3.13."""
        raise NotImplementedError

    def get_loop(self):
        """Return the loop that the server runs in."""
        raise NotImplementedError

    def is_serving(self):
        """Return True while the server accepts connections."""
        raise NotImplementedError

    async def start_serving(self):
        """Start accepting connections; no effect if it does already."""
        raise NotImplementedError

    async def serve_forever(self):
        """Accept connections until cancelled, then close the server."""
        raise NotImplementedError

    async def wait_closed(self):
        """Wait until the server is closed and every connection has ended."""
        raise NotImplementedError

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        self.close()
        await self.wait_closed()


class AbstractEventLoop:
    """Every method of an event loop; all of them raise NotImplementedError."""

    # The loop's life

    def run_forever(self):
        """Run until `stop()` is called."""
        raise NotImplementedError

    def run_until_complete(self, future):
        """Run until *future*, or a task made of it if it is a coroutine, is done, and return its result."""
        raise NotImplementedError

    def stop(self):
        """Leave `run_forever()` at the end of the present turn."""
        raise NotImplementedError

    def is_running(self):
        """Return True while the loop runs."""
        raise NotImplementedError

    def is_closed(self):
        """Return True once `close()` has been called."""
        raise NotImplementedError

    def close(self):
        """Drop what is queued and release everything; the loop must not be running, and cannot run again."""
        raise NotImplementedError

    async def shutdown_asyncgens(self):
        """Close every asynchronous generator that was iterated in this loop and has not ended."""
        raise NotImplementedError

    async def shutdown_default_executor(self):
        """Wait for the default executor's threads to end."""
        raise NotImplementedError

    # Calling functions

    def _timer_handle_cancelled(self, handle):
        """Called by a TimerHandle when it is cancelled."""
        raise NotImplementedError

    def call_soon(self, callback, *args, context=None):
        """Call `callback(*args)` in the next turn, in *context* or in a copy of the present one.

        Returns a Handle that can cancel the call.
        """
        return self.call_later(0, callback, *args, context=context)

    def call_later(self, delay, callback, *args, context=None):
        """Call `callback(*args)` in *delay* seconds; returns a TimerHandle."""
        raise NotImplementedError

    def call_at(self, when, callback, *args, context=None):
        """Call `callback(*args)` when the loop's clock shows *when* seconds; returns a TimerHandle."""
        raise NotImplementedError

    def time(self):
        """Return the loop's clock: seconds as a float, from an arbitrary start, never going back."""
        raise NotImplementedError

    def create_future(self):
        """Return a new Future that belongs to this loop."""
        raise NotImplementedError

    def create_task(self, coro, **kwargs):
        """Run a coroutine as a task, and return the Task.

        Keyword arguments (name, context, eager_start) go to the task factory, or to Task.
        """
        raise NotImplementedError

    def call_soon_threadsafe(self, callback, *args, context=None):
        """`call_soon()` for other threads and for signal handlers: it also wakes the loop up."""
        raise NotImplementedError

    def run_in_executor(self, executor, func, *args):
        """Call `func(*args)` in an executor, None for the default one; returns a Future of its result."""
        raise NotImplementedError

    def set_default_executor(self, executor):
        """Set the executor that stands for None in `run_in_executor()`."""
        raise NotImplementedError

    # Names and addresses

    async def getaddrinfo(self, host, port, *, family=0, type=0, proto=0, flags=0):
        """`socket.getaddrinfo()` that does not block the loop."""
        raise NotImplementedError

    async def getnameinfo(self, sockaddr, flags=0):
        """`socket.getnameinfo()` that does not block the loop."""
        raise NotImplementedError

    # Connections and servers

    async def create_connection(
        self,
        protocol_factory,
        host=None,
        port=None,
        *,
        ssl=None,
        family=0,
        proto=0,
        flags=0,
        sock=None,
        local_addr=None,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        happy_eyeballs_delay=None,
        interleave=None,
    ):
        """Connect to a host and port over TCP, or take a connected *sock*; returns (transport, protocol)."""
        raise NotImplementedError

    async def create_server(
        self,
        protocol_factory,
        host=None,
        port=None,
        *,
        family=0,  # socket.AF_UNSPEC
        flags=1,  # socket.AI_PASSIVE
        sock=None,
        backlog=100,
        ssl=None,
        reuse_address=None,
        reuse_port=None,
        keep_alive=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        start_serving=True,
    ):
        """Listen on a host (a name, several, or None for all interfaces) and port over TCP; returns a Server."""
        raise NotImplementedError

    async def sendfile(self, transport, file, offset=0, count=None, *, fallback=True):
        """Send a binary file through a transport, by the kernel where it can; returns the bytes sent.

        Raises SendfileNotAvailableError if the kernel cannot and *fallback* is false.
        """
        raise NotImplementedError

    async def start_tls(
        self,
        transport,
        protocol,
        sslcontext,
        *,
        server_side=False,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
    ):
        """Turn a connection into a TLS one; returns the transport that *protocol* has to use from now on."""
        raise NotImplementedError

    async def create_unix_connection(
        self,
        protocol_factory,
        path=None,
        *,
        ssl=None,
        sock=None,
        server_hostname=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
    ):
        """Connect to a Unix domain socket; returns (transport, protocol)."""
        raise NotImplementedError

    async def create_unix_server(
        self,
        protocol_factory,
        path=None,
        *,
        sock=None,
        backlog=100,
        ssl=None,
        ssl_handshake_timeout=None,
        ssl_shutdown_timeout=None,
        start_serving=True,
    ):
        """Listen on a Unix domain socket; returns a Server."""
        raise NotImplementedError

    async def connect_accepted_socket(
        self, protocol_factory, sock, *, ssl=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None
    ):
        """Serve a connection that was accepted outside of the loop; returns (transport, protocol)."""
        raise NotImplementedError

    async def create_datagram_endpoint(
        self,
        protocol_factory,
        local_addr=None,
        remote_addr=None,
        *,
        family=0,
        proto=0,
        flags=0,
        reuse_address=None,
        reuse_port=None,
        allow_broadcast=None,
        sock=None,
    ):
        """Open a datagram socket, bound to *local_addr*, connected to *remote_addr*; (transport, protocol)."""
        raise NotImplementedError

    # Pipes and subprocesses

    async def connect_read_pipe(self, protocol_factory, pipe):
        """Read from a pipe, a file object that the transport will own; returns (transport, protocol)."""
        raise NotImplementedError

    async def connect_write_pipe(self, protocol_factory, pipe):
        """Write to a pipe, a file object that the transport will own; returns (transport, protocol)."""
        raise NotImplementedError

    async def subprocess_shell(self, protocol_factory, cmd, *, stdin=-1, stdout=-1, stderr=-1, **kwargs):
        """Run a shell command with its standard streams connected (-1: by pipes); (transport, protocol)."""
        raise NotImplementedError

    async def subprocess_exec(self, protocol_factory, *args, stdin=-1, stdout=-1, stderr=-1, **kwargs):
        """Run a program with its standard streams connected (-1: by pipes); (transport, protocol)."""
        raise NotImplementedError

    # Descriptors and sockets

    def add_reader(self, fd, callback, *args):
        """Call `callback(*args)` whenever *fd* is readable."""
        raise NotImplementedError

    def remove_reader(self, fd):
        """Stop watching *fd* for reading; returns True if it was watched."""
        raise NotImplementedError

    def add_writer(self, fd, callback, *args):
        """Call `callback(*args)` whenever *fd* is writable."""
        raise NotImplementedError

    def remove_writer(self, fd):
        """Stop watching *fd* for writing; returns True if it was watched."""
        raise NotImplementedError

    async def sock_recv(self, sock, nbytes):
        """Receive up to *nbytes* bytes from a non-blocking socket."""
        raise NotImplementedError

    async def sock_recv_into(self, sock, buf):
        """Receive into a writable buffer; returns the number of bytes."""
        raise NotImplementedError

    async def sock_recvfrom(self, sock, bufsize):
        """Receive a datagram; returns (data, address); since asyncio 3.11."""
        raise NotImplementedError

    async def sock_recvfrom_into(self, sock, buf, nbytes=0):
        """Receive a datagram into a writable buffer; returns (bytes, address); since asyncio 3.11."""
        raise NotImplementedError

    async def sock_sendall(self, sock, data):
        """Send all of *data*."""
        raise NotImplementedError

    async def sock_sendto(self, sock, data, address):
        """Send a datagram; returns the number of bytes; since asyncio 3.11."""
        raise NotImplementedError

    async def sock_connect(self, sock, address):
        """Connect a socket, resolving a host name first."""
        raise NotImplementedError

    async def sock_accept(self, sock):
        """Accept a connection from a listening socket; returns (socket, address)."""
        raise NotImplementedError

    async def sock_sendfile(self, sock, file, offset=0, count=None, *, fallback=None):
        """Send a binary file through a socket, by the kernel where it can; returns the bytes sent."""
        raise NotImplementedError

    # Signals

    def add_signal_handler(self, sig, callback, *args):
        """Call `callback(*args)` in the loop whenever the signal arrives; main thread only."""
        raise NotImplementedError

    def remove_signal_handler(self, sig):
        """Restore the signal's default action; returns True if there was a handler."""
        raise NotImplementedError

    # Task factory

    def set_task_factory(self, factory):
        """Make tasks with `factory(loop, coro, **kwargs)`; None for asyncio's own Task."""
        raise NotImplementedError

    def get_task_factory(self):
        """Return the task factory, or None."""
        raise NotImplementedError

    # Errors

    def get_exception_handler(self):
        """Return the exception handler, or None."""
        raise NotImplementedError

    def set_exception_handler(self, handler):
        """Call `handler(loop, context)` for errors that nobody can catch; None for the default."""
        raise NotImplementedError

    def default_exception_handler(self, context):
        """Log what *context* tells about an error."""
        raise NotImplementedError

    def call_exception_handler(self, context):
        """Report an error that nobody can catch; *context* is a dict with at least a 'message'."""
        raise NotImplementedError

    # Debug mode

    def get_debug(self):
        """Return True in debug mode."""
        raise NotImplementedError

    def set_debug(self, enabled):
        """Switch debug mode on or off."""
        raise NotImplementedError


class AbstractEventLoopPolicy:
    """Which loop belongs to which context, and how one is made; policies go away in Python 3.16."""

    def get_event_loop(self):
        """Return the current context's loop; never None.

        Raises RuntimeError if there is none.
        """
        raise NotImplementedError

    def set_event_loop(self, loop):
        """Make *loop* the current context's."""
        raise NotImplementedError

    def new_event_loop(self):
        """Return a new loop, which does not become the current one."""
        raise NotImplementedError

    if sys.version_info < (3, 14):

        def get_child_watcher(self):
            """Return the watcher for child processes; gone in Python 3.14."""
            raise NotImplementedError

        def set_child_watcher(self, watcher):
            """Set the watcher for child processes; gone in Python 3.14."""
            raise NotImplementedError


# Stock's name for it has an underscore since 3.14; ours answers to both, always.
_AbstractEventLoopPolicy = AbstractEventLoopPolicy
if sys.version_info >= (3, 14):
    AbstractEventLoopPolicy.__name__ = AbstractEventLoopPolicy.__qualname__ = "_AbstractEventLoopPolicy"
    one_family(
        "asyncio.events", globals(), ["AbstractServer", "AbstractEventLoop", "_AbstractEventLoopPolicy"]
    )
    AbstractEventLoopPolicy = _AbstractEventLoopPolicy
else:
    one_family(
        "asyncio.events", globals(), ["AbstractServer", "AbstractEventLoop", "AbstractEventLoopPolicy"]
    )
    _AbstractEventLoopPolicy = AbstractEventLoopPolicy
