"""Exceptions and abstract classes are the same objects under ferrio's name and stock asyncio's, in either order."""

import pickle
import sys

import ferrio
import pytest

# Ways to get both into a process. Each leaves `ferrio` and stock `asyncio` behind.
ORDERS = {
    "ferrio first": """
        import ferrio
        from ferrio import exceptions, events, protocols
        assert "asyncio" not in sys.modules
        import asyncio
        """,
    "stock first": """
        import asyncio
        import ferrio
        """,
    "ferrio first, its exceptions last": """
        import ferrio
        import asyncio
        from ferrio import exceptions
        """,
}

SAME = """
names = ["BrokenBarrierError", "CancelledError", "IncompleteReadError", "InvalidStateError", "LimitOverrunError",
         "QueueEmpty", "QueueFull", "SendfileNotAvailableError", "TimeoutError",
         "AbstractEventLoop", "AbstractServer", "BaseProtocol", "Protocol", "BufferedProtocol", "DatagramProtocol",
         "SubprocessProtocol"]
if sys.version_info >= (3, 13):
    names.append("QueueShutDown")
for name in names:
    assert getattr(asyncio, name) is getattr(ferrio, name), name
for submodule in "exceptions", "queues", "events", "protocols":
    stock = sys.modules["asyncio." + submodule]
    for name in names:
        assert getattr(stock, name, None) in (None, getattr(ferrio, name)), (submodule, name)
"""

ACCELERATOR = """
import _asyncio
assert asyncio.Task is _asyncio.Task and asyncio.Future is _asyncio.Future
try:
    _asyncio.Future(loop=asyncio.new_event_loop()).result()
except ferrio.InvalidStateError:
    print("invalid state")

async def raises():
    raise ferrio.CancelledError("ours")

async def main():
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except ferrio.CancelledError as exc:
        assert type(exc) is asyncio.CancelledError
        print("caught")
    task = asyncio.create_task(raises())
    await asyncio.wait([task])
    assert task.cancelled()
    print("cancelled")
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
    except ferrio.TimeoutError:
        print("timeout")

asyncio.run(main())
"""


@pytest.fixture(params=ORDERS.values(), ids=ORDERS)
def order(request):
    import textwrap

    return "import sys\n" + textwrap.dedent(request.param)


def test_same_objects(program, order):
    program(order + SAME)


def test_the_accelerator_raises_and_catches_ours(program, order):
    assert program(order + ACCELERATOR).split("\n") == ["invalid state", "caught", "cancelled", "timeout"]


def test_stock_subclasses_move_along(program, order):
    """The stock default policy derives from the abstract one inside the module where that is exchanged."""
    program(
        order
        + """
if sys.version_info < (3, 14):
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    assert isinstance(asyncio.get_event_loop_policy(), ferrio.AbstractEventLoopPolicy)
assert issubclass(asyncio.SelectorEventLoop, ferrio.AbstractEventLoop)
assert issubclass(asyncio.StreamReaderProtocol, ferrio.Protocol)
assert issubclass(ferrio.SelectorEventLoop, asyncio.AbstractEventLoop)
"""
    )


def test_stock_modules_keep_their_loader(program):
    program(
        """
        from ferrio import exceptions
        import asyncio, inspect
        from importlib.machinery import SourceFileLoader
        module = asyncio.exceptions
        assert type(module.__loader__) is SourceFileLoader is type(module.__spec__.loader)
        assert "class CancelledError" in inspect.getsource(module)
        """
    )


def test_only_the_loop(program, order):
    """`asyncio.Runner(loop_factory=ferrio.new_event_loop)`: stock accepts our loop as one of its own."""
    assert (
        program(
            order
            + """
async def main():
    assert isinstance(ferrio.get_running_loop(), asyncio.AbstractEventLoop)
    return "ran"

with asyncio.Runner(loop_factory=ferrio.EventLoop) as runner:
    print(runner.run(main()))
"""
        )
        == "ran"
    )


@pytest.mark.parametrize(
    "exc",
    [
        ferrio.CancelledError("why"),
        ferrio.InvalidStateError("early"),
        ferrio.IncompleteReadError(b"ab", 5),
        ferrio.IncompleteReadError(b"ab", None),
        ferrio.LimitOverrunError("too long", 7),
        ferrio.BrokenBarrierError(),
        ferrio.QueueEmpty(),
        ferrio.QueueShutDown(),
    ],
    ids=repr,
)
def test_pickle(exc):
    copy = pickle.loads(pickle.dumps(exc))
    assert type(copy) is type(exc)
    assert copy.args == exc.args
    assert vars(copy) == vars(exc)


def test_pickle_across_processes(program):
    """What a process with ferrio pickles, one without can read."""
    data = program("import ferrio, pickle; print(pickle.dumps(ferrio.IncompleteReadError(b'x', 2)).hex())")
    out = program(f"import pickle; print(repr(pickle.loads(bytes.fromhex({data!r})))); import sys; "
                  "assert 'ferrio' not in sys.modules")  # fmt: skip
    assert out == "IncompleteReadError('1 bytes read on a total of 2 expected bytes')"


def test_messages():
    exc = ferrio.IncompleteReadError(b"abc", None)
    assert str(exc) == "3 bytes read on a total of undefined expected bytes"
    assert (exc.partial, exc.expected) == (b"abc", None)
    assert ferrio.LimitOverrunError("found", 9).consumed == 9


def test_base_classes():
    assert ferrio.CancelledError.__bases__ == (BaseException,)
    assert ferrio.TimeoutError is TimeoutError
    assert issubclass(ferrio.IncompleteReadError, EOFError)
    assert issubclass(ferrio.BrokenBarrierError, RuntimeError)


def test_they_show_asyncios_name():
    assert repr(ferrio.CancelledError) == "<class 'asyncio.exceptions.CancelledError'>"
    assert repr(ferrio.QueueFull) == "<class 'asyncio.queues.QueueFull'>"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="stock has it")
def test_a_class_that_stock_lacks_stays_ours():
    assert ferrio.QueueShutDown.__module__ == "ferrio.exceptions"
    assert ferrio.queues.QueueShutDown is ferrio.exceptions.QueueShutDown
