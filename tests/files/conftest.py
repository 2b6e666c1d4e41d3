"""Both engines in turn, and a loop to run coroutines on."""

import ferrio
import pytest
from ferrio import _ferrio


@pytest.fixture(params=["io_uring", "pool"])
def engine(request, monkeypatch):
    """The engine that is forced; its name is checked where a file was opened."""
    monkeypatch.setenv("FERRIO_FILES", request.param)
    if request.param == "io_uring" and _ferrio._driver_report()["io_uring"] != "available":
        pytest.skip("this system has no io_uring: " + _ferrio._driver_report()["io_uring"])
    return request.param


@pytest.fixture
def loop(engine):
    loop = ferrio.new_event_loop()
    yield loop
    assert loop._files_engine in (None, engine)
    loop.close()


@pytest.fixture
def run(loop):
    def run(coro):
        return loop.run_until_complete(ferrio.wait_for(coro, 60))

    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"
