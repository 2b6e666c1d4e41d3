"""Every ValueError and TypeError of the methods that take ssl=, word for word."""

import ssl

import contexts
import pytest


@pytest.fixture
def raised_by(run):
    """`raised_by(coro)` is (type, text) of what it raises."""

    def raised_by(coro):
        with pytest.raises((ValueError, TypeError)) as raised:
            run(coro)
        return type(raised.value), str(raised.value)

    return raised_by


ONLY_WITH_SSL = [
    ("ssl_handshake_timeout", 1),
    ("ssl_shutdown_timeout", 1),
    ("ssl_handshake_timeout", 0),
    ("ssl_shutdown_timeout", 0),
]


@pytest.mark.parametrize(("name", "value"), ONLY_WITH_SSL)
@pytest.mark.parametrize("without", [None, False])
def test_only_with_ssl(raised_by, loop, asyncio, sockets, tmp_path, name, value, without):
    path = str(tmp_path / "socket")
    sock, other = sockets()
    expected = ValueError, f"{name} is only meaningful with ssl"
    option = {name: value}
    for coro in (
        loop.create_connection(asyncio.Protocol, "localhost", 1, ssl=without, **option),
        loop.create_unix_connection(asyncio.Protocol, path, ssl=without, **option),
        loop.connect_accepted_socket(asyncio.Protocol, sock, ssl=without, **option),
        asyncio.open_connection("localhost", 1, ssl=without, **option),
    ):
        assert raised_by(coro) == expected
    if without is None:
        for coro in (
            loop.create_server(asyncio.Protocol, "localhost", 0, **option),
            loop.create_unix_server(asyncio.Protocol, path, **option),
            asyncio.start_server(print, "localhost", 0, **option),
        ):
            assert raised_by(coro) == expected


def test_server_hostname(raised_by, loop, asyncio, sockets, tmp_path):
    path = str(tmp_path / "socket")
    sock, _ = sockets()
    context = contexts.client_context()
    only = ValueError, "server_hostname is only meaningful with ssl"
    protocol = asyncio.Protocol
    assert raised_by(loop.create_connection(protocol, "localhost", 1, server_hostname="x")) == only
    assert raised_by(loop.create_connection(protocol, sock=sock, server_hostname="x")) == only
    assert raised_by(loop.create_unix_connection(protocol, path, server_hostname="x")) == only
    assert raised_by(loop.create_connection(protocol, sock=sock, ssl=context)) == (
        ValueError,
        "You must set server_hostname when using ssl without a host",
    )
    assert raised_by(loop.create_unix_connection(protocol, path, ssl=context)) == (
        ValueError,
        "you have to pass server_hostname when using ssl",
    )


@pytest.mark.parametrize("value", [True, False])
def test_a_server_needs_a_context(raised_by, loop, asyncio, tmp_path, value):
    expected = TypeError, "ssl argument must be an SSLContext or None"
    protocol = asyncio.Protocol
    assert raised_by(loop.create_server(protocol, "localhost", 0, ssl=value)) == expected
    assert raised_by(loop.create_unix_server(protocol, str(tmp_path / "socket"), ssl=value)) == expected
    assert raised_by(asyncio.start_server(print, "localhost", 0, ssl=value)) == expected


def test_an_accepted_socket_needs_one_too(raised_by, loop, asyncio, sockets):
    sock, _ = sockets()
    assert raised_by(loop.connect_accepted_socket(asyncio.Protocol, sock, ssl=True)) == (
        ValueError,
        "Server side SSL needs a valid SSLContext",
    )


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("value", [0, -1, -0.5])
def test_timeouts_are_positive(raised_by, loop, asyncio, sockets, side, name, value):
    sock, _ = sockets()
    expected = ValueError, f"{name} should be a positive number, got {value}"
    if side == "client":
        coro = loop.create_connection(
            asyncio.Protocol,
            sock=sock,
            ssl=contexts.client_context(),
            server_hostname="localhost",
            **{name: value},
        )
    else:
        coro = loop.connect_accepted_socket(
            asyncio.Protocol, sock, ssl=contexts.server_context(), **{name: value}
        )
    assert raised_by(coro) == expected


def test_sockets_of_ssl_are_refused(raised_by, loop, asyncio, sockets):
    """Each method that takes a socket says so."""
    sock, other = sockets()
    wrapped = contexts.client_context().wrap_socket(
        sock, server_hostname="localhost", do_handshake_on_connect=False
    )
    expected = TypeError, "Socket cannot be of type SSLSocket"
    with wrapped:
        for coro in (
            loop.create_connection(asyncio.Protocol, sock=wrapped),
            loop.create_server(asyncio.Protocol, sock=wrapped),
            loop.connect_accepted_socket(asyncio.Protocol, wrapped),
            loop.sock_recv(wrapped, 1),
            loop.sock_recv_into(wrapped, bytearray(1)),
            loop.sock_sendall(wrapped, b"x"),
            loop.sock_connect(wrapped, ("127.0.0.1", 1)),
            loop.sock_accept(wrapped),
        ):
            assert raised_by(coro) == expected


@pytest.mark.parametrize("wrong", [5, "context", object()])
def test_what_is_no_context(run, loop, asyncio, sockets, wrong):
    """asyncio takes anything for one and fails with it; the socket is closed, as for other failures."""

    async def main():
        sock, other = sockets()
        with pytest.raises(AttributeError, match="wrap_bio"):
            await loop.create_connection(asyncio.Protocol, sock=sock, ssl=wrong, server_hostname="localhost")
        other.close()

    run(main())


def test_contexts_for_the_other_side(run, loop, asyncio, sockets):
    async def main():
        sock, _ = sockets()
        with pytest.raises(
            ssl.SSLError, match="Cannot create a client socket with a PROTOCOL_TLS_SERVER context"
        ):
            await loop.create_connection(
                asyncio.Protocol, sock=sock, ssl=contexts.server_context(), server_hostname="localhost"
            )
        sock, _ = sockets()
        ours = contexts.client_context()
        # Or the name to check is asked for first, since 3.14.
        ours.check_hostname = False
        with pytest.raises(
            ssl.SSLError, match="Cannot create a server socket with a PROTOCOL_TLS_CLIENT context"
        ):
            await loop.connect_accepted_socket(asyncio.Protocol, sock, ssl=ours)

    run(main())


def test_the_constructor(loop, asyncio, run):
    """SSLProtocol is a class that libraries make objects of."""

    async def main():
        make = asyncio.sslproto.SSLProtocol
        context = contexts.client_context()
        protocol = asyncio.Protocol()
        with pytest.raises(ValueError, match="Server side SSL needs a valid SSLContext"):
            make(loop, protocol, None, None, server_side=True)
        with pytest.raises(ValueError, match="ssl_handshake_timeout should be a positive number, got 0"):
            make(loop, protocol, context, None, ssl_handshake_timeout=0)
        with pytest.raises(ValueError, match="ssl_shutdown_timeout should be a positive number, got -1"):
            make(loop, protocol, context, None, ssl_shutdown_timeout=-1)
        with pytest.raises(TypeError):
            make()
        made = make(loop, protocol, context, None, server_hostname="localhost")
        transport = made._app_transport
        assert isinstance(transport, asyncio.sslproto._SSLProtocolTransport)
        assert isinstance(made, asyncio.BufferedProtocol)
        assert transport._start_tls_compatible is True
        assert transport.get_protocol() is protocol
        assert transport.get_extra_info("sslcontext") is context
        assert transport.get_extra_info("socket", 5) == 5
        assert not transport.is_closing()
        transport._closed = True

    run(main())
