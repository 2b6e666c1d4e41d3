"""Loops subclassed and patched by users: overridden and replaced methods are the ones that run."""

import asyncio
import selectors

from observe import attempt, emit, new_loop, scenario, until


def run(loop, coro):
    try:
        return loop.run_until_complete(coro)
    finally:
        loop.close()


@scenario
def overridden_methods():
    class Mine(asyncio.SelectorEventLoop):
        def call_soon(self, callback, *args, context=None):
            emit("call_soon")
            return super().call_soon(callback, *args, context=context)

        def create_task(self, coro, **kwargs):
            emit("create_task", sorted(kwargs))
            return super().create_task(coro, **kwargs)

        def create_future(self):
            emit("create_future")
            return super().create_future()

    async def main():
        fut = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0, fut.set_result, "result")
        task = asyncio.create_task(asyncio.sleep(0), name="child")
        await task
        return await fut

    emit(run(Mine(), main()))


@scenario
def own_clock():
    class Jumps(selectors.DefaultSelector):
        """Sleeps by moving the clock on."""

        def select(self, timeout=None):
            loop.now += timeout or 0
            return super().select(0)

    class Virtual(asyncio.SelectorEventLoop):
        now = 1000.0

        def time(self):
            return self.now

    async def main():
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.sleep(3600)
        emit(loop.time() - start)
        loop.call_later(10, emit, "after ten")
        loop.call_later(5, emit, "after five")
        await asyncio.sleep(20)
        emit(loop.time() - start)

    loop = Virtual(Jumps())
    run(loop, main())


@scenario
def own_selector():
    class Counting(selectors.DefaultSelector):
        selects = 0

        def select(self, timeout=None):
            self.selects += 1
            return super().select(timeout)

    selector = Counting()
    run(asyncio.SelectorEventLoop(selector), asyncio.sleep(0.001))  # it has to wait
    emit(selector.selects > 0)


@scenario
def replaced_on_the_instance():
    loop = new_loop()
    original = loop.call_soon

    def call_soon(callback, *args, **kwargs):
        emit("replaced call_soon")
        return original(callback, *args, **kwargs)

    loop.call_soon = call_soon
    loop.time = lambda: 5.0

    async def main():
        emit(loop.time())
        fut = loop.create_future()
        fut.set_result(1)
        await fut

    run(loop, main())


@scenario
def own_attributes():
    loop = new_loop()
    loop.anything = "a value"
    emit(loop.anything)
    loop.close()


@scenario
def base_event_loop():
    loop = asyncio.BaseEventLoop()
    emit(loop.is_running(), loop.is_closed())
    attempt("create_future", lambda: loop.create_future().get_loop() is loop)
    loop.close()


@scenario
def own_default_exception_handler():
    class Mine(asyncio.SelectorEventLoop):
        def default_exception_handler(self, context):
            emit("own", context["message"], context["exception"])

    async def main():
        asyncio.get_running_loop().call_soon(int, "x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(Mine(), main())


@scenario
def own_getaddrinfo():
    import socket

    loop = new_loop()

    async def getaddrinfo(host, port, **kwargs):
        emit("getaddrinfo", host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    loop.getaddrinfo = getaddrinfo

    class Served(asyncio.Protocol):
        ended = False

        def connection_lost(self, exc):
            Served.ended = True

    async def main():
        server = await loop.create_server(Served, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(asyncio.Protocol, "made.up", port)
        emit(transport.get_extra_info("peername")[0])
        transport.close()
        await until(lambda: Served.ended)
        server.close()

    run(loop, main())
