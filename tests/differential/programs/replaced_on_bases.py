"""Methods replaced on asyncio's abstract classes: the transports and servers that inherit them are asked there."""

import asyncio
import contextlib
import os
import socket

from observe import emit, scenario


@contextlib.contextmanager
def extra_info_replaced(owner):
    """Have get_extra_info() of *owner*, and of what inherits it, answer with the name; yields the names asked for."""
    asked = []

    def get_extra_info(self, name, default=None):
        asked.append(name)
        return f"the {name}"

    own = vars(owner).get("get_extra_info")
    owner.get_extra_info = get_extra_info
    try:
        yield asked
    finally:
        if own is None:
            del owner.get_extra_info
        else:
            owner.get_extra_info = own


async def transports():
    """One of each kind, by name, and what is to be closed besides."""
    loop = asyncio.get_running_loop()
    mine, other = socket.socketpair()
    stream, _ = await loop.create_connection(asyncio.Protocol, sock=mine)
    datagram, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    # The transports own them.
    ends = [open(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]  # noqa: SIM115
    reading, _ = await loop.connect_read_pipe(asyncio.Protocol, ends[0])
    writing, _ = await loop.connect_write_pipe(asyncio.Protocol, ends[1])
    return {"stream": stream, "datagram": datagram, "read pipe": reading, "write pipe": writing}, other


@scenario
async def extra_info_on_each_base():
    kinds, other = await transports()
    bases = [
        asyncio.BaseTransport,
        asyncio.ReadTransport,
        asyncio.WriteTransport,
        asyncio.Transport,
        asyncio.DatagramTransport,
    ]
    for base in bases:
        with extra_info_replaced(base):
            for kind, transport in kinds.items():
                # In 3.11 a datagram transport is no DatagramTransport.
                if isinstance(transport, base) and base is not asyncio.DatagramTransport:
                    emit(base.__name__, kind, transport.get_extra_info("what", 5))
        for kind, transport in kinds.items():
            emit("put back", kind, transport.get_extra_info("what", 5))
    with extra_info_replaced(asyncio.Transport):
        stream = kinds["stream"]
        stream.get_extra_info = lambda name: f"the instance's {name}"
        emit(stream.get_extra_info("x"))
        del stream.get_extra_info
        emit(stream.get_extra_info("x"))
    for transport in kinds.values():
        transport.close()
    other.close()


@scenario
async def streams_ask_what_was_put_there():
    mine, other = socket.socketpair()
    with extra_info_replaced(asyncio.BaseTransport) as asked:
        reader, writer = await asyncio.open_connection(sock=mine)
        emit(writer.get_extra_info("peername"), asked)
    emit(writer.get_extra_info("nothing", 7))
    # What the protocol took for TLS hears nothing of the other side's end.
    emit(writer.transport.get_protocol()._over_ssl)
    other.close()
    writer.close()
    await writer.wait_closed()


@scenario
async def a_derived_transport_adds_to_what_is_inherited():
    class Sealed(asyncio.Transport):
        def get_extra_info(self, name, default=None):
            return super().get_extra_info(name, default) if name == "open" else default

    sealed = Sealed({"open": 1, "secret": 2})
    emit(sealed.get_extra_info("open"), sealed.get_extra_info("secret"), sealed.get_extra_info("none", 3))
    emit(asyncio.BaseTransport.get_extra_info(sealed, name="secret", default=4))

    class Mapping:
        def get(self, name, default):
            return name, default

    emit(asyncio.BaseTransport(Mapping()).get_extra_info("a"))


@scenario
async def leaving_a_server():
    seen = []

    async def aenter(self):
        seen.append("entered")
        return self

    async def aexit(self, *exc):
        seen.append("left")
        self.close()

    originals = {name: vars(asyncio.AbstractServer)[name] for name in ("__aenter__", "__aexit__")}
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    asyncio.AbstractServer.__aenter__ = aenter
    asyncio.AbstractServer.__aexit__ = aexit
    try:
        async with server as entered:
            emit(entered is server)
    finally:
        for name, original in originals.items():
            setattr(asyncio.AbstractServer, name, original)
    emit(seen, server.is_serving())
    async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0) as server:
        emit(server.is_serving())
    emit(server.is_serving())


@scenario
async def a_protocol_put_in_by_name():
    class Second(asyncio.Protocol):
        def data_received(self, data):
            received.set_result(data)

    received = asyncio.get_running_loop().create_future()
    mine, other = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=mine)
    transport._protocol = second = Second()
    emit(transport.get_protocol() is second)
    other.send(b"for the second")
    emit(await received)
    transport.close()
    other.close()
