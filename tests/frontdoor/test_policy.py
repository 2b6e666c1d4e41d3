"""The current loop and the policy, by the rules of the running Python."""

import sys
import threading
import warnings

import ferrio
import pytest
from ferrio import events, unix_events


@pytest.fixture(autouse=True)
def policy():
    """Each test begins and ends with no policy."""
    events._set_event_loop_policy(None)
    yield
    events._set_event_loop_policy(None)


@pytest.fixture
def loop():
    loop = ferrio.new_event_loop()
    yield loop
    loop.close()


def test_set_and_get(loop):
    ferrio.set_event_loop(loop)
    assert ferrio.get_event_loop() is loop
    ferrio.set_event_loop(None)
    with pytest.raises(RuntimeError, match="There is no current event loop in thread 'MainThread'"):
        ferrio.get_event_loop()


def test_set_something_else():
    with pytest.raises(TypeError, match="loop must be an instance of AbstractEventLoop or None, not 'str'"):
        ferrio.set_event_loop("loop")
    with pytest.raises(
        TypeError, match="policy must be an instance of AbstractEventLoopPolicy or None, not 'int'"
    ):
        events._set_event_loop_policy(3)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the main thread gets no loop by itself")
def test_main_thread_gets_a_loop():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = ferrio.get_event_loop()
    loop.close()
    assert isinstance(loop, ferrio.EventLoop)
    if sys.version_info >= (3, 12):
        (warning,) = caught
        assert warning.category is DeprecationWarning
        assert str(warning.message) == "There is no current event loop"
        assert warning.filename == __file__
    else:
        assert caught == []


@pytest.mark.skipif(sys.version_info < (3, 14), reason="the main thread gets a loop by itself")
def test_main_thread_gets_none():
    with pytest.raises(RuntimeError, match="There is no current event loop in thread 'MainThread'"):
        ferrio.get_event_loop()


def test_other_threads_get_none():
    messages = []

    def ask():
        try:
            ferrio.get_event_loop()
        except RuntimeError as exc:
            messages.append(str(exc))

    thread = threading.Thread(target=ask, name="other")
    thread.start()
    thread.join()
    assert messages == ["There is no current event loop in thread 'other'."]


def test_running_loop_wins(loop):
    ferrio.set_event_loop(None)

    async def main():
        return ferrio.get_event_loop()

    assert loop.run_until_complete(main()) is loop


def test_own_policy_is_asked(loop):
    class Policy(events._BaseDefaultEventLoopPolicy):
        def get_event_loop(self):
            return "asked"

        def new_event_loop(self):
            return "made"

    events._set_event_loop_policy(Policy())
    assert ferrio.get_event_loop() == "asked"
    assert ferrio.new_event_loop() == "made"
    events._event_loop_policy = None
    assert isinstance(events._get_event_loop_policy(), unix_events._UnixDefaultEventLoopPolicy)


def test_ferrios_policy():
    events._set_event_loop_policy(ferrio.EventLoopPolicy())
    loop = ferrio.new_event_loop()
    assert type(loop) is ferrio.EventLoop
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="not deprecated yet")
def test_policies_are_deprecated():
    with pytest.warns(DeprecationWarning, match=r"'asyncio.get_event_loop_policy' is deprecated"):
        policy = ferrio.get_event_loop_policy()
    with pytest.warns(DeprecationWarning, match=r"'asyncio.set_event_loop_policy' is deprecated"):
        ferrio.set_event_loop_policy(policy)
    for name in "AbstractEventLoopPolicy", "DefaultEventLoopPolicy":
        with pytest.warns(DeprecationWarning, match=rf"'asyncio.{name}' is deprecated"):
            assert isinstance(policy, getattr(ferrio, name))


def test_forked_child_has_no_current_loop(program):
    assert (
        program(
            """
            import os, ferrio
            loop = ferrio.new_event_loop()
            ferrio.set_event_loop(loop)
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                policy = ferrio.events._get_event_loop_policy()
                os.write(write, repr(policy._local._loop).encode())
                os._exit(0)
            os.waitpid(child, 0)
            print(os.read(read, 100).decode())
            assert ferrio.get_event_loop() is loop
            loop.close()
            """
        )
        == "None"
    )


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="gone")
class TestChildWatchers:
    @pytest.fixture(autouse=True)
    def quiet(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield

    def test_default(self):
        watcher = ferrio.get_child_watcher()
        assert watcher is ferrio.get_child_watcher()
        assert isinstance(watcher, ferrio.AbstractChildWatcher)
        assert watcher.is_active()
        if sys.version_info < (3, 12):
            # Read by the clean-up of test.test_asyncio.utils.TestCase.
            assert isinstance(watcher, ferrio.ThreadedChildWatcher)
            assert watcher._threads == {}

    @pytest.mark.parametrize(
        "name",
        [
            "SafeChildWatcher",
            "FastChildWatcher",
            "MultiLoopChildWatcher",
            "PidfdChildWatcher",
            "ThreadedChildWatcher",
        ],
    )
    def test_stands_where_one_is_asked_for(self, name, loop):
        with getattr(ferrio, name)() as watcher:
            ferrio.set_child_watcher(watcher)
            ferrio.set_event_loop(loop)
            assert watcher._loop is loop
            assert watcher.remove_child_handler(1) is False
            ferrio.set_child_watcher(None)
            assert watcher._loop is None

    def test_not_a_watcher(self):
        with pytest.raises(AssertionError):
            ferrio.set_child_watcher("watcher")


@pytest.mark.skipif(not (3, 12) <= sys.version_info < (3, 14), reason="deprecated in 3.12 and 3.13 only")
def test_child_watchers_are_deprecated():
    for ask in ferrio.SafeChildWatcher, ferrio.FastChildWatcher, ferrio.MultiLoopChildWatcher:
        with pytest.warns(
            DeprecationWarning, match=f"'{ask.__name__}' is deprecated as of Python 3.12"
        ) as caught:
            ask()
        assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="'AbstractChildWatcher' is deprecated"):

        class Watcher(ferrio.AbstractChildWatcher):
            pass

    with pytest.warns(DeprecationWarning, match="'get_child_watcher' is deprecated"):
        events._get_event_loop_policy().get_child_watcher()
