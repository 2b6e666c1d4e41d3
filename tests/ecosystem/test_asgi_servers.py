"""uvicorn and hypercorn with `programs/asgi_room.py`: bodies that stream, WebSockets, HTTP/2, load, nginx in front.

Their clients are curl, h2load, wrk, and httpx and `websockets` on the implementation under test. What is uvicorn's
alone is in `test_uvicorn.py`.
"""

import hashlib
import json

import pytest
from program import PROGRAMS, on_path

NUMBERS = bytes(range(256)) * 4096

SERVERS = {
    "uvicorn-httptools": ["uvicorn", "--http", "httptools"],
    "uvicorn-h11": ["uvicorn", "--http", "h11", "--ws", "wsproto"],
    "hypercorn": ["hypercorn", "--config", PROGRAMS / "hypercorn.toml"],
}
UPLOADED = 8 * 100 * 10_240

HTTPX = {
    "greetings": 1000,
    "upload": [True, UPLOADED],
    "download": True,
    "echo": True,
    "begun": True,
    "after it": "hello\n",
    "time-out": "ReadTimeout",
    "cancelled": True,
    "after that": "hello\n",
    "closed": True,
}
WEBSOCKETS = {
    "right": 20 * 500,
    "large": True,
    "parts": "in three parts",
    "ping": True,
    "closed": [4000, "bye"],
    "refused": 403,
}


class Server:
    """A running ASGI server."""

    def __init__(self, name, program, pattern):
        self.name = name
        self.program = program
        self.port = int(program.expect(pattern)[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/"


@pytest.fixture(params=SERVERS)
def server(start, request):
    yield from serve(start, request.param)


@pytest.fixture
def hypercorn(start):
    yield from serve(start, "hypercorn")


def serve(start, name):
    module, *options = SERVERS[name]
    if module == "uvicorn":
        options += ["--app-dir", PROGRAMS, "--port", "0", "--loop", "asyncio", "--no-access-log"]
    else:
        options += ["--bind", "127.0.0.1:0"]
    program = start("-m", module, "asgi_room:app", *options, env={"PYTHONPATH": on_path(PROGRAMS)})
    server = Server(name, program, r"[Rr]unning on http://127\.0\.0\.1:(\d+)")
    yield server
    program.stop()
    assert "application stopped" in program.output, program.text
    assert "Traceback" not in program.text, program.text


CURL = ("curl", "--silent", "--show-error", "--fail", "--max-time", "60")


def test_asyncio_is_the_implementation_s(server, command, impl):
    # hypercorn serves in a process that multiprocessing has spawned.
    assert command(*CURL, f"{server.url}/asyncio").decode() == ("asyncio" if impl == "stock" else impl)


def test_curl(server, command):
    assert command(*CURL, server.url) == b"hello\n"
    assert command(*CURL, "--http1.0", server.url) == b"hello\n"
    assert command(*CURL, f"{server.url}/bytes?n={len(NUMBERS)}", "--limit-rate", "20M") == NUMBERS
    # Chunks, and only after the server has said that it wants them.
    upload = (
        "--header",
        "Transfer-Encoding: chunked",
        "--header",
        "Expect: 100-continue",
        "--data-binary",
        "@-",
    )
    digest, length = json.loads(command(*CURL, *upload, f"{server.url}/digest", stdin=NUMBERS))
    assert (digest, length) == (hashlib.sha256(NUMBERS).hexdigest(), len(NUMBERS))
    assert command(*CURL, *upload, f"{server.url}/echo", stdin=NUMBERS) == NUMBERS


def test_ten_thousand_requests(server, h2load):
    # hypercorn's status lines end after the number, as they may, but h2load takes that for a failure in HTTP/1.1.
    protocol = [] if server.name == "hypercorn" else ["--h1"]
    assert h2load(*protocol, "--requests", 10_000, "--clients", 40, server.url) == 10_000


def test_wrk(server, wrk):
    assert wrk(server.url, connections=40) > 0
    assert wrk(f"{server.url}/bytes?n=100000", connections=8) > 0


def test_httpx(server, report):
    assert report(PROGRAMS / "httpx_client.py", server.url) == {
        "greeting": ["HTTP/1.1", 200, "hello\n"],
        **HTTPX,
    }


def test_websockets(server, report):
    assert report(PROGRAMS / "websockets_client.py", server.ws_url) == WEBSOCKETS


@pytest.mark.parametrize("server", ["uvicorn-httptools", "hypercorn"], indirect=True)
def test_behind_nginx(server, nginx, report, wrk):
    # Nothing is buffered on the way, so that what one side does is what the other side sees.
    proxy = nginx(
        f"""
        upstream behind {{ server 127.0.0.1:{server.port}; keepalive 16; }}
        map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
        server {{
            listen 127.0.0.1:$port;
            client_max_body_size 100m;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_request_buffering off;
            location / {{
                proxy_pass http://behind;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
            }}
        }}
        """
    )
    url = f"http://127.0.0.1:{proxy.port}"
    assert wrk(url, connections=32) > 0
    # nginx (1.22) leaves the rest of a request unread for good once the answer to it, already under way, has filled its
    # client's socket; and httpx reads no answer before it has sent the request.
    seen = report(PROGRAMS / "httpx_client.py", url, "--by-proxy")
    assert seen == {"greeting": ["HTTP/1.1", 200, "hello\n"], **HTTPX}
    assert report(PROGRAMS / "websockets_client.py", f"ws://127.0.0.1:{proxy.port}/") == WEBSOCKETS


def test_http2(hypercorn, report, command, h2load):
    streams = ("--clients", 10, "--max-concurrent-streams", 10)
    assert h2load(*streams, "--requests", 5000, hypercorn.url) == 5000
    # Not by an upgrade from HTTP/1.1: Debian's curl fails there now and then, whatever asyncio the server has.
    large = f"{hypercorn.url}/bytes?n={len(NUMBERS)}"
    assert command(*CURL, "--http2-prior-knowledge", large) == NUMBERS
    seen = report(PROGRAMS / "httpx_client.py", hypercorn.url, "--http2")
    assert seen == {"greeting": ["HTTP/2", 200, "hello\n"], **HTTPX}
