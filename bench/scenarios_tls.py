"""The network over TLS: the servers of `scenarios_net.py` again, with `ssl=`.

TLS 1.3 and a certificate for ECDSA, but for the handshakes with RSA. Most of what a small message costs is the loop's
and the TLS layer's; of a large one it is the cipher and the kernel. `tls_handshake_*` is a whole connection: TCP, a
full handshake, one message, both sides' ends.
"""

from __future__ import annotations

import asyncio
import ssl

from bench import certificates
from bench.scenario import server
from bench.scenarios_net import (
    BACKLOG,
    HOST,
    READ_BYTES,
    BufferedEchoProtocol,
    EchoProtocol,
    Sink,
    Source,
    _drop,
    _echo,
    _echo_lines,
    _pour,
)


def _context(kind: str = "ecdsa") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*certificates.of(kind))
    return context


async def _serve(protocol: type[asyncio.BaseProtocol], kind: str = "ecdsa") -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(protocol, HOST, 0, backlog=BACKLOG, ssl=_context(kind))


@server(load="tls-echo", certificate="ecdsa")
async def tls_protocol_echo() -> asyncio.Server:
    """`create_server` with a Protocol whose `data_received` writes."""
    return await _serve(EchoProtocol)


@server(load="tls-echo", certificate="ecdsa")
async def tls_buffered_echo() -> asyncio.Server:
    """`create_server` with a BufferedProtocol."""
    return await _serve(BufferedEchoProtocol)


@server(load="tls-echo", certificate="ecdsa", beside="tls_protocol_echo")
async def tls_streams_read_echo() -> asyncio.Server:
    """`start_server`: `read`, `write`, `drain`."""
    limit = 2 * READ_BYTES
    return await asyncio.start_server(_echo, HOST, 0, backlog=BACKLOG, limit=limit, ssl=_context())


@server(load="tls-echo", certificate="ecdsa", beside="tls_protocol_echo")
async def tls_streams_readline_echo() -> asyncio.Server:
    """`start_server`: `readline`, `write`, `drain`."""
    limit = 2 * READ_BYTES
    return await asyncio.start_server(_echo_lines, HOST, 0, backlog=BACKLOG, limit=limit, ssl=_context())


@server(load="tls-connect", connections=(16,), sizes=(64,), certificate="ecdsa")
async def tls_handshake_ecdsa() -> asyncio.Server:
    """Connections that bring one message each, with a full handshake."""
    return await _serve(EchoProtocol)


@server(load="tls-connect", connections=(16,), sizes=(64,), certificate="rsa")
async def tls_handshake_rsa() -> asyncio.Server:
    """The same with an RSA key of 2048 bits."""
    return await _serve(EchoProtocol, "rsa")


@server(load="tls-resume", connections=(16,), sizes=(64,), certificate="ecdsa")
async def tls_handshake_resumed() -> asyncio.Server:
    """The same with the session of the connection before."""
    return await _serve(EchoProtocol)


@server(load="tls-send", connections=(1, 64), sizes=(65536,), certificate="ecdsa")
async def tls_protocol_bulk_in() -> asyncio.Server:
    """`data_received` that drops what it gets."""
    return await _serve(Sink)


@server(load="tls-send", connections=(1, 64), sizes=(65536,), certificate="ecdsa")
async def tls_streams_bulk_in() -> asyncio.Server:
    """`read` up to 64 KiB, and again."""
    limit = 2 * READ_BYTES
    return await asyncio.start_server(_drop, HOST, 0, backlog=BACKLOG, limit=limit, ssl=_context())


@server(load="tls-receive", connections=(1, 64), sizes=(65536,), certificate="ecdsa")
async def tls_protocol_bulk_out() -> asyncio.Server:
    """`write` of 64 KiB until `pause_writing`, and on at `resume_writing`."""
    return await _serve(Source)


@server(load="tls-receive", connections=(1, 64), sizes=(65536,), certificate="ecdsa")
async def tls_streams_bulk_out() -> asyncio.Server:
    """`write` of 64 KiB and `drain`, and again."""
    return await asyncio.start_server(_pour, HOST, 0, backlog=BACKLOG, ssl=_context())
