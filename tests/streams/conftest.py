"""A loop of the implementation under test, and a transport that only remembers what it was told."""

import pytest


@pytest.fixture
def loop(asyncio):
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class FakeTransport:
    """Writes into a list; pausing and resuming are noted."""

    def __init__(self):
        self.calls = []
        self.written = []
        self.closing = False
        self.info = {}

    def write(self, data):
        self.written.append(data)

    def writelines(self, lines):
        self.written.extend(lines)

    def write_eof(self):
        self.calls.append("write_eof")

    def can_write_eof(self):
        return True

    def pause_reading(self):
        self.calls.append("pause_reading")

    def resume_reading(self):
        self.calls.append("resume_reading")

    def get_extra_info(self, name, default=None):
        return self.info.get(name, default)

    def is_closing(self):
        return self.closing

    def close(self):
        self.calls.append("close")
        self.closing = True

    def abort(self):
        self.calls.append("abort")
        self.closing = True


@pytest.fixture
def transport():
    return FakeTransport()


@pytest.fixture
def make_transport():
    return FakeTransport
