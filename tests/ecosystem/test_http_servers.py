"""Servers on asyncio alone, in each of its styles, against curl, wrk, h2load and nginx; and a client against nginx."""

import pytest
from program import PROGRAMS

NUMBERS = bytes(range(256)) * 4096


@pytest.fixture(params=["protocol", "buffered", "streams"])
def server(start, request):
    program = start(PROGRAMS / "http_server.py", request.param)
    program.port = int(program.expect(r"^port (\d+)$")[1])
    program.url = f"http://127.0.0.1:{program.port}"
    yield program
    assert program.stop() == 0, program.text
    assert program.output[1:] == ["stopped"]


def test_curl(server, command):
    curl = ("curl", "--silent", "--show-error", "--fail", "--max-time", "60")
    assert command(*curl, server.url) == b"hello\n"
    assert command(*curl, "--http1.0", server.url) == b"hello\n"
    assert command(*curl, "--data-binary", "@-", f"{server.url}/", stdin=NUMBERS) == NUMBERS
    # Slower than the server would: its buffers fill, and it has to wait.
    slowly = command(*curl, "--limit-rate", "20M", f"{server.url}/bytes/8000000")
    assert len(slowly) == 8_000_000
    assert slowly.startswith(NUMBERS)
    # All in one run of curl: on one connection, kept.
    many = command(*curl, *[server.url] * 100, "--write-out", "%{num_connects}\n")
    assert many.count(b"hello\n") == 100
    assert many.count(b"\n1\n") == 1


def test_wrk(server, wrk):
    assert wrk(server.url, connections=64) > 0
    assert wrk(f"{server.url}/bytes/100000", connections=8) > 0


def test_ten_thousand_requests(server, h2load):
    assert h2load("--h1", "--requests", 10_000, "--clients", 50, server.url) == 10_000


def test_behind_nginx(server, nginx, command, wrk, h2load):
    proxy = nginx(
        f"""
        upstream behind {{ server 127.0.0.1:{server.port}; keepalive 16; }}
        server {{
            listen 127.0.0.1:$port;
            location / {{ proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; }}
        }}
        """
    )
    url = f"http://127.0.0.1:{proxy.port}"
    assert h2load("--h1", "--requests", 10_000, "--clients", 32, url) == 10_000
    assert wrk(url, connections=32) > 0
    large = command("curl", "--silent", "--show-error", "--fail", f"{url}/bytes/{len(NUMBERS)}")
    assert large == NUMBERS


def test_a_client_of_nginx(nginx, report):
    server = nginx(
        "server { listen 127.0.0.1:$port; root www; keepalive_requests 100000; }",
        {"index.html": b"hello\n", "large": NUMBERS},
    )
    assert report(PROGRAMS / "http_client.py", server.port) == {
        "pipelined": 16 * 500,
        "single": 20 * 50 * len("hello\n"),
        "large": 8,
        "range": [(1000 + number) % 256 for number in range(10)],
        "after it": len("hello\n"),
    }
