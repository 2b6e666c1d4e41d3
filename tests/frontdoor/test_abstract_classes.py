"""The classes that exist to be derived from: loops, servers, protocols, transports, the mixins."""

import asyncio as stock

import ferrio
import pytest
from ferrio import constants, mixins, transports

COROUTINES = """
import inspect
for cls in AbstractEventLoop, AbstractServer:
    print(cls.__name__, *(name for name in dir(cls) if inspect.iscoroutinefunction(getattr(cls, name))))
"""


def test_abstract_methods_are_coroutines_where_asyncios_are(program):
    ours = program(
        "from ferrio._abstract import *\nimport sys\nassert 'asyncio' not in sys.modules" + COROUTINES
    )
    assert ours == program("from asyncio import *" + COROUTINES)
    assert "create_connection" in ours


def test_abstract_loop_refuses():
    loop = ferrio.AbstractEventLoop()
    with pytest.raises(NotImplementedError):
        loop.run_forever()
    with pytest.raises(NotImplementedError):
        loop.call_soon(print)
    with pytest.raises(NotImplementedError):
        loop.getaddrinfo("localhost", 1).send(None)


def test_protocol_defaults_do_nothing():
    protocol = ferrio.Protocol()
    assert protocol.connection_made(None) is None
    assert protocol.data_received(b"x") is None
    assert protocol.eof_received() is None
    assert protocol.connection_lost(None) is None
    with pytest.raises(AttributeError):
        protocol.attribute = 1  # no instance has a dict until a subclass wants one


def test_transport():
    transport = ferrio.Transport({"peername": "p"})
    assert transport.get_extra_info("peername") == "p"
    assert transport.get_extra_info("nothing", 5) == 5
    for name in "is_closing", "close", "abort", "write_eof", "can_write_eof", "pause_reading", "get_protocol":
        with pytest.raises(NotImplementedError):
            getattr(transport, name)()


def test_writelines_writes_once():
    written = []

    class Transport(ferrio.Transport):
        def write(self, data):
            written.append(data)

    Transport().writelines([b"a", bytearray(b"b"), memoryview(b"c")])
    assert written == [b"abc"]


class FlowControlled(transports._FlowControlMixin):
    size = 0

    def get_write_buffer_size(self):
        return self.size


class Listening(ferrio.Protocol):
    def __init__(self):
        self.events = []

    def pause_writing(self):
        self.events.append("pause")

    def resume_writing(self):
        self.events.append("resume")


def test_flow_control():
    transport = FlowControlled()
    transport._protocol = protocol = Listening()
    assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
    transport.size = 64 * 1024
    transport._maybe_pause_protocol()
    assert protocol.events == []  # at the mark is not over it
    transport.size += 1
    transport._maybe_pause_protocol()
    transport._maybe_pause_protocol()
    transport.size = 16 * 1024 + 1
    transport._maybe_resume_protocol()
    assert protocol.events == ["pause"]
    transport.size = 16 * 1024
    transport._maybe_resume_protocol()
    assert protocol.events == ["pause", "resume"]
    transport.set_write_buffer_limits(high=100)
    assert transport.get_write_buffer_limits() == (25, 100)
    assert protocol.events == ["pause", "resume", "pause"]
    transport.set_write_buffer_limits(low=10)
    assert transport.get_write_buffer_limits() == (10, 40)
    with pytest.raises(ValueError, match=r"high.*must be >= low"):
        transport.set_write_buffer_limits(high=1, low=2)


def test_flow_control_reports_a_protocol_that_fails():
    reported = []

    class Loop:
        def call_exception_handler(self, context):
            reported.append(context)

    class Failing(ferrio.Protocol):
        def pause_writing(self):
            raise ValueError("full")

    transport = FlowControlled(loop=Loop())
    transport._protocol = Failing()
    transport.size = 10**6
    transport._maybe_pause_protocol()
    (context,) = reported
    assert context["message"] == "protocol.pause_writing() failed"
    assert isinstance(context["exception"], ValueError)
    assert context["transport"] is transport


def test_loop_bound_mixin():
    class Bound(mixins._LoopBoundMixin):
        pass

    bound = Bound()

    async def get():
        return bound._get_loop() is ferrio.get_running_loop()

    assert ferrio.run(get())
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        ferrio.run(get())


def test_constants_are_asyncios():
    for name, value in vars(stock.constants).items():
        if name.isupper():
            assert getattr(constants, name) == value, name
    assert constants._SendfileMode is constants._SendfileMode
    assert [mode.name for mode in constants._SendfileMode] == ["UNSUPPORTED", "TRY_NATIVE", "FALLBACK"]
