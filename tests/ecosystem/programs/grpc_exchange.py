"""grpc.aio: a server and its clients in one process. Every kind of call, deadlines, calls that are given up on either
side, errors, metadata, interceptors, many calls at once, a connection that fails, a server that stops in the middle.

Messages are bytes, so that nothing has to be generated.
"""

import asyncio
import json
import os

# A line on stderr when the server says goodbye.
os.environ["GRPC_VERBOSITY"] = "ERROR"

import grpc

said = {}
entered = asyncio.Event()
"""A handler that waits for ever has begun."""
given_up = []
"""What such handlers saw when their calls ended."""


async def double(request, context):
    """unary, unary"""
    return request * 2


async def count(request, context):
    """unary, stream: yields"""
    for number in range(int(request)):
        yield b"%d" % number


async def count_by_writing(request, context):
    """unary, stream: writes, with metadata before and after"""
    await context.send_initial_metadata((("kind", "written"),))
    for number in range(int(request)):
        await context.write(b"%d" % number)
    context.set_trailing_metadata((("count", request.decode()),))


async def total(requests, context):
    """stream, unary"""
    return b"%d" % sum([int(request) async for request in requests])


async def echo(requests, context):
    """stream, stream"""
    async for request in requests:
        yield b"echo " + request


async def for_ever(request, context):
    """Waits until the call ends."""
    entered.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        given_up.append("cancelled")
        raise


async def ticks(request, context):
    """Streams until the call ends."""
    number = 0
    try:
        while True:
            yield b"%d" % number
            number += 1
            await asyncio.sleep(0)
    finally:
        given_up.append("ticks")


async def refuse(request, context):
    """Ends with a status."""
    context.set_trailing_metadata((("reason", "taste"),))
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")


async def fail(request, context):
    """Ends with an exception."""
    raise ValueError("a mistake in the handler")


async def who(request, context):
    """Tells what came with the call."""
    sent = dict(context.invocation_metadata())
    return json.dumps([sent.get("user"), sent.get("stamp"), context.time_remaining() is not None]).encode()


CALLS = {
    "double": grpc.unary_unary_rpc_method_handler(double),
    "count": grpc.unary_stream_rpc_method_handler(count),
    "count_by_writing": grpc.unary_stream_rpc_method_handler(count_by_writing),
    "total": grpc.stream_unary_rpc_method_handler(total),
    "echo": grpc.stream_stream_rpc_method_handler(echo),
    "for_ever": grpc.unary_unary_rpc_method_handler(for_ever),
    "ticks": grpc.unary_stream_rpc_method_handler(ticks),
    "refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "fail": grpc.unary_unary_rpc_method_handler(fail),
    "who": grpc.unary_unary_rpc_method_handler(who),
}


class Handlers(grpc.GenericRpcHandler):
    """All of them, under the service `t`."""

    def service(self, details):
        return CALLS.get(details.method.rpartition("/")[2])


class Stamp(grpc.aio.UnaryUnaryClientInterceptor):
    """Puts a stamp on calls."""

    async def intercept_unary_unary(self, continuation, details, request):
        await asyncio.sleep(0)
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("stamp", "blue"))
        return await continuation(details._replace(metadata=metadata), request)


class Log(grpc.aio.ServerInterceptor):
    """Counts the calls that reach the server."""

    calls = 0

    async def intercept_service(self, continuation, details):
        type(self).calls += 1
        return await continuation(details)


def error_of(error):
    return [error.code().name, error.details()]


async def every_kind(channel):
    said["double"] = (await channel.unary_unary("/t/double")(b"ab")).decode()
    said["count"] = [int(number) async for number in channel.unary_stream("/t/count")(b"5")]
    call = channel.unary_stream("/t/count_by_writing")(b"3")
    said["initial"] = dict(await call.initial_metadata())["kind"]
    said["written"] = []
    while (number := await call.read()) is not grpc.aio.EOF:
        said["written"].append(int(number))
    said["trailing"] = dict(await call.trailing_metadata())["count"]

    async def numbers():
        for number in range(100):
            await asyncio.sleep(0)
            yield b"%d" % number

    said["total"] = int(await channel.stream_unary("/t/total")(numbers()))
    call = channel.stream_unary("/t/total")()
    for number in range(10):
        await call.write(b"%d" % number)
    await call.done_writing()
    said["total by writing"] = int(await call)

    call = channel.stream_stream("/t/echo")()
    said["echo"] = []
    for word in (b"one", b"two", b"three"):
        await call.write(word)
        said["echo"].append((await call.read()).decode())
    await call.done_writing()
    said["after the echo"] = await call.read() is grpc.aio.EOF
    said["echo's end"] = (await call.code()).name
    said["echo of a stream"] = len([None async for _ in channel.stream_stream("/t/echo")(numbers())])
    big = await channel.unary_unary("/t/double")(b"x" * 1_000_000)
    said["two megabytes"] = big == b"x" * 2_000_000
    said["who"] = json.loads(await channel.unary_unary("/t/who")(b"", metadata=(("user", "me"),), timeout=60))


async def errors(channel):
    for name in ("refuse", "fail", "no_such_call"):
        try:
            await channel.unary_unary(f"/t/{name}")(b"")
        except grpc.aio.AioRpcError as error:
            said[name] = error_of(error)
            if name == "refuse":
                said["reason"] = dict(error.trailing_metadata())["reason"]
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nowhere:
        try:
            await nowhere.unary_unary("/t/double")(b"", timeout=60)
        except grpc.aio.AioRpcError as error:
            said["nowhere"] = error.code().name


async def given_up_calls(channel):
    # The client's deadline.
    try:
        await channel.unary_unary("/t/for_ever")(b"", timeout=1)
    except grpc.aio.AioRpcError as error:
        said["deadline"] = error_of(error)
    # asyncio's time-out around the call.
    try:
        async with asyncio.timeout(1):
            await channel.unary_unary("/t/for_ever")(b"")
    except TimeoutError:
        said["timeout"] = True
    # The call's own cancel(), once the handler waits.
    entered.clear()
    call = channel.unary_unary("/t/for_ever")(b"")
    await entered.wait()
    said["cancel"] = call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        said["cancelled"] = [call.cancelled(), (await call.code()).name]
    # The task around it.
    entered.clear()

    async def ask():
        await channel.unary_unary("/t/for_ever")(b"")

    task = asyncio.create_task(ask())
    await entered.wait()
    task.cancel()
    said["task"] = [type(result).__name__ for result in await asyncio.gather(task, return_exceptions=True)]
    # A stream in the middle, and one whose reader is cancelled.
    call = channel.unary_stream("/t/ticks")(b"")
    said["ticks"] = [int(await call.read()) for _ in range(3)]
    call.cancel()
    try:
        await call.read()
    except asyncio.CancelledError:
        said["stream"] = call.cancelled()

    async def read():
        async for _ in channel.unary_stream("/t/ticks")(b""):
            first.set()

    first = asyncio.Event()
    task = asyncio.create_task(read())
    await first.wait()
    task.cancel()
    said["reader"] = [type(result).__name__ for result in await asyncio.gather(task, return_exceptions=True)]
    # The handlers see the end of their calls too, each when the news of it has come.
    async with asyncio.timeout(60):
        while len(given_up) < 6:
            await asyncio.sleep(0.01)
    said["given up"] = sorted(given_up)


async def many(channel):
    double = channel.unary_unary("/t/double")
    answers = await asyncio.gather(*(double(b"%d," % number) for number in range(500)))
    said["many"] = answers == [b"%d,%d," % (number, number) for number in range(500)]
    async with asyncio.TaskGroup() as group:
        streams = [group.create_task(length(channel.unary_stream("/t/count")(b"50"))) for _ in range(20)]
    said["streams"] = sum(stream.result() for stream in streams)


async def length(call):
    return len([number async for number in call])


async def main():
    server = grpc.aio.server(interceptors=[Log()])
    server.add_generic_rpc_handlers((Handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=[Stamp()]) as channel:
        said["before"] = channel.get_state().name
        async with asyncio.timeout(60):
            await channel.channel_ready()
        said["ready"] = channel.get_state().name
        await every_kind(channel)
        await errors(channel)
        await given_up_calls(channel)
        await many(channel)
        said["calls"] = Log.calls
        # The server stops while a call runs: it gets no time, and the client is told.
        entered.clear()
        call = channel.unary_unary("/t/for_ever")(b"")
        await entered.wait()
        await server.stop(None)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            said["stopped"] = error.code().name
    await server.wait_for_termination()
    # grpc's own tasks end when the news of their calls' ends has come; were they cancelled first, it would log that.
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)
    said["given up at the end"] = len(given_up)


asyncio.run(main())
print(json.dumps(said))
