"""Real programs, unmodified, on the implementation under test (`FERRIO_TEST_IMPL=stock`: the interpreter's own).

Their real peers are fixtures here: what a machine lacks is why a test is skipped, and the summary says so.
"""

import contextlib
import json
import re
import subprocess

import pytest
import servers
from program import PATIENCE, Program


@pytest.fixture
def start(impl):
    """`start(arguments…)` runs `python arguments…` on the implementation; what still runs at the end is killed."""
    with contextlib.ExitStack() as running:

        def start(*arguments, env=None):
            return running.enter_context(Program(impl, *arguments, env=env))

        yield start


@pytest.fixture
def report(impl):
    """`report(arguments…)` runs `python arguments…` to its end and returns what it printed last, a line of JSON.

    It runs on the implementation under test, and on the interpreter's own asyncio: the two have to say the same.
    """

    def one(implementation, arguments):
        with Program(implementation, *arguments) as program:
            status = program.finish()
            assert status == 0, f"on {implementation}:\n{program.text}"
            # Warnings and "Task exception was never retrieved" would be more than the one line.
            assert len(program.output) == 1, f"on {implementation}:\n{program.text}"
            return json.loads(program.output[0])

    def report(*arguments):
        said = one(impl, arguments)
        if impl != "stock":
            assert said == one("stock", arguments)
        return said

    return report


def running(kind, *arguments):
    """A server while the fixture lasts; the test is skipped where it is not installed."""
    if why := servers.missing(*kind.needs):
        pytest.skip(why)
    server = kind(*arguments)
    with contextlib.ExitStack() as stopped:
        stopped.callback(server.stop)
        yield server


@pytest.fixture(scope="session")
def postgresql():
    """A running PostgreSQL, the same for all tests of the session."""
    yield from running(servers.PostgreSQL)


@pytest.fixture(scope="session")
def redis():
    """A running Redis, the same for all tests of the session."""
    yield from running(servers.Redis)


@pytest.fixture
def nginx():
    """`nginx(http, files)` starts an nginx with that `http` block."""
    if why := servers.missing(*servers.Nginx.needs):
        pytest.skip(why)
    with contextlib.ExitStack() as stopped:

        def nginx(*arguments):
            server = servers.Nginx(*arguments)
            stopped.callback(server.stop)
            return server

        yield nginx


@pytest.fixture
def command():
    """`command(program, arguments…)` runs a program of this machine to its end and returns what it printed."""

    def command(program, *arguments, stdin=b""):
        if why := servers.missing(program):
            pytest.skip(why)
        ended = subprocess.run(
            [servers.find(program), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ended.returncode == 0, (ended.returncode, ended.stderr, ended.stdout[:2000])
        return ended.stdout

    return command


@pytest.fixture
def wrk(command):
    """`wrk(url)` lets it run for a second; returns the requests that were answered, all of them well."""

    def wrk(url, connections):
        said = command("wrk", "--duration", "1s", "--threads", 1, "--connections", connections, url).decode()
        # It names errors only if there were any.
        assert "Socket errors" not in said, said
        assert "Non-2xx" not in said, said
        return int(re.search(r"(\d+) requests in", said)[1])

    return wrk


@pytest.fixture
def h2load(command):
    """`h2load(arguments…)` runs it; returns the requests that were answered with a status of 2xx, if none failed."""

    def h2load(*arguments):
        said = command("h2load", *arguments).decode()
        assert re.search(r" 0 failed, 0 errored, 0 timeout", said), said
        return int(re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", said)[1])

    return h2load
