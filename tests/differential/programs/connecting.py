"""create_connection to names with several addresses: order, fallback, errors."""

import asyncio
import errno
import socket

from observe import emit, scenario, until


def addresses(loop, *hosts):
    """Make *loop* resolve every name to these addresses, in this order."""

    async def getaddrinfo(host, port, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (h, port)) for h in hosts]

    loop.getaddrinfo = getaddrinfo


class Served(asyncio.Protocol):
    """The server's side of a connection; `ended` counts those that were."""

    ended = 0

    def connection_lost(self, exc):
        Served.ended += 1


async def server():
    return await asyncio.get_running_loop().create_server(Served, "127.0.0.1", 0)


async def connect(port, **kwargs):
    loop = asyncio.get_running_loop()
    before = Served.ended
    try:
        transport, _ = await loop.create_connection(asyncio.Protocol, "made.up", port, **kwargs)
    except OSError as exc:
        emit(type(exc), str(exc).replace(str(port), "PORT"))
    except ExceptionGroup as group:
        emit(group.message, [str(exc).replace(str(port), "PORT") for exc in group.exceptions])
    else:
        emit(transport.get_extra_info("peername")[0])
        transport.close()
        await until(lambda: Served.ended > before)


@scenario
async def second_address():
    s = await server()
    addresses(asyncio.get_running_loop(), "127.0.0.2", "127.0.0.1")
    await connect(s.sockets[0].getsockname()[1])
    s.close()


@scenario
async def second_address_with_happy_eyeballs():
    s = await server()
    addresses(asyncio.get_running_loop(), "127.0.0.2", "127.0.0.1")
    await connect(s.sockets[0].getsockname()[1], happy_eyeballs_delay=0.01)
    s.close()


@scenario
async def none_answers():
    s = await server()
    port = s.sockets[0].getsockname()[1]
    s.close()
    await s.wait_closed()
    loop = asyncio.get_running_loop()
    addresses(loop, "127.0.0.1")
    await connect(port)
    addresses(loop, "127.0.0.1", "127.0.0.2")
    await connect(port)
    addresses(loop, "127.0.0.1", "127.0.0.1")
    await connect(port)


@scenario
async def no_address():
    addresses(asyncio.get_running_loop())
    await connect(80)


@scenario(since=(3, 12))
async def all_errors():
    s = await server()
    port = s.sockets[0].getsockname()[1]
    s.close()
    await s.wait_closed()
    addresses(asyncio.get_running_loop(), "127.0.0.1", "127.0.0.2")
    await connect(port, all_errors=True)


@scenario
async def local_address():
    s = await server()
    port = s.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    before = Served.ended
    transport, _ = await loop.create_connection(
        asyncio.Protocol, "127.0.0.1", port, local_addr=("127.0.0.3", 0)
    )
    emit(transport.get_extra_info("sockname")[0])
    transport.close()
    await until(lambda: Served.ended > before)
    s.close()


@scenario
async def local_address_that_cannot_be():
    s = await server()
    port = s.sockets[0].getsockname()[1]
    try:
        await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, "127.0.0.1", port, local_addr=("192.0.2.1", 0)
        )
    except OSError as exc:
        emit(exc.errno == errno.EADDRNOTAVAIL)
    s.close()


@scenario
async def cancelled_while_connecting():
    loop = asyncio.get_running_loop()
    never = loop.create_future()
    asked = asyncio.Event()

    async def getaddrinfo(*args, **kwargs):
        asked.set()
        await never

    loop.getaddrinfo = getaddrinfo
    task = asyncio.create_task(loop.create_connection(asyncio.Protocol, "made.up", 80))
    await asked.wait()
    task.cancel("no more")
    try:
        await task
    except asyncio.CancelledError as exc:
        emit(list(exc.args), never.cancelled())
