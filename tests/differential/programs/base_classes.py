"""Transport, Protocol and policy base classes: what they do before anybody overrides it."""

import asyncio

from observe import attempt, attempt_type, emit, scenario


@scenario
def transports():
    for cls, calls in (
        (asyncio.BaseTransport, {"is_closing": (), "close": (), "set_protocol": (1,), "get_protocol": ()}),
        (asyncio.ReadTransport, {"is_reading": (), "pause_reading": (), "resume_reading": ()}),
        (asyncio.WriteTransport, {"write": (b"",), "write_eof": (), "can_write_eof": (), "abort": (),
                                  "get_write_buffer_size": (), "set_write_buffer_limits": ()}),
        (asyncio.DatagramTransport, {"sendto": (b"",), "abort": ()}),
        (asyncio.SubprocessTransport, {"get_pid": (), "get_returncode": (), "kill": (), "terminate": ()}),
    ):  # fmt: skip
        transport = cls()
        for name, args in calls.items():
            attempt(f"{cls.__name__}.{name}", getattr(transport, name), *args)


@scenario
def extra_info():
    emit(asyncio.Transport().get_extra_info("x"), asyncio.Transport({"x": 1}).get_extra_info("x", 2))
    emit(asyncio.BaseTransport(extra={"y": 3}).get_extra_info("y"))


@scenario
def writelines_goes_through_write():
    class Mine(asyncio.Transport):
        def write(self, data):
            emit("write", data)

    Mine().writelines([b"a", b"b"])


@scenario
def protocols():
    emit(asyncio.Protocol().connection_made(None), asyncio.Protocol().connection_lost(None))
    emit(asyncio.Protocol().data_received(b""), asyncio.Protocol().eof_received())
    emit(asyncio.Protocol().pause_writing(), asyncio.Protocol().resume_writing())
    emit(
        asyncio.DatagramProtocol().datagram_received(b"", ("x", 1)),
        asyncio.DatagramProtocol().error_received(None),
    )
    emit(
        asyncio.SubprocessProtocol().pipe_data_received(1, b""), asyncio.SubprocessProtocol().process_exited()
    )
    emit(asyncio.BufferedProtocol().get_buffer(1), asyncio.BufferedProtocol().buffer_updated(1))


@scenario
def slots():
    for cls in (asyncio.BaseProtocol, asyncio.Protocol, asyncio.BufferedProtocol, asyncio.DatagramProtocol):
        attempt_type(cls.__name__, setattr, cls(), "attribute", 1)

    class Mine(asyncio.Protocol):
        pass

    attempt("subclass", setattr, Mine(), "attribute", 1)


@scenario
def abstract_server():
    server = asyncio.AbstractServer()
    attempt("close", server.close)
    attempt("get_loop", server.get_loop)
    attempt("is_serving", server.is_serving)


@scenario(
    differs="A `TimerHandle` whose time is no number is refused when it is made. asyncio takes it, and "
    "fails when it compares it with other timers.",
    expected=[
        ["event", False],
        ["event", "ran", 1],
        ["event", "5.0"],
        [
            "event",
            "no time",
            "raised",
            {"exception": "TypeError", "message": "must be real number, not NoneType"},
        ],
        ["event", True, "<Handle cancelled>"],
    ],
)
def handles():
    loop = asyncio.new_event_loop()
    handle = asyncio.Handle(emit, ("ran", 1), loop)
    emit(handle.cancelled())
    handle._run()
    timer = asyncio.TimerHandle(5.0, emit, (), loop)
    emit(timer.when())
    attempt("no time", asyncio.TimerHandle, None, emit, (), loop)
    handle.cancel()
    emit(handle.cancelled(), handle)
    loop.close()


@scenario
def stream_protocol():
    async def main():
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        protocol.data_received(b"fed through the protocol")
        emit(protocol.eof_received())
        emit(await reader.read())

    asyncio.run(main())
