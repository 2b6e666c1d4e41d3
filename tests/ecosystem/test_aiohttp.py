"""aiohttp: its server against its own client, curl, wrk, h2load and nginx, its client against its own server and nginx.

`programs/aiohttp_roundtrip.py` has both in one process, `programs/aiohttp_warehouse.py` in two.
"""

import http.client
import json

import pytest
from program import PROGRAMS

WAREHOUSE = PROGRAMS / "aiohttp_warehouse.py"
NUMBERS = bytes(range(256)) * 4096
UPLOADED = 800 * 10_240

VISIT = {
    "greetings": 40 * 50,
    "stored": [True, UPLOADED],
    "fetched": [True, UPLOADED],
    "part": [206, [(1000 + number) % 256 for number in range(10)]],
    "echo": True,
    "form": [len("grüß dich".encode()), ["numbers", 50 * 256 * 100]],
    "form's file": True,
    "events": True,
    "time-out": "read",
    "left": "left",
    "after it": 50,
    "conversations": 10 * 500,
    "large message": True,
    "bye": ["CLOSE", 4000, "bye"],
}
CURL = ("curl", "--silent", "--show-error", "--fail", "--max-time", "60")


def test_server_and_client(start):
    program = start(PROGRAMS / "aiohttp_roundtrip.py")
    assert program.finish() == 0, program.text
    assert json.loads(program.output[-1]) == {
        "greeting": "hello world",
        "greetings": 300,
        "sum": 499500,
        "lines": True,
        "missing": 404,
        "timeout": True,
        "websocket": "QUIET",
    }
    assert len(program.output) == 1, program.text


@pytest.fixture
def server(start, tmp_path):
    program = start(WAREHOUSE, "serve", tmp_path)
    program.port = int(program.expect(r"^port (\d+)$")[1])
    program.url = f"http://127.0.0.1:{program.port}"
    yield program
    assert program.stop() == 0, program.text
    assert program.output[-1] == "stopped"
    assert "Traceback" not in program.text, program.text


def test_a_visit(server, report):
    assert report(WAREHOUSE, "visit", server.url) == VISIT


def test_a_visit_by_name(server, report):
    assert report(WAREHOUSE, "visit", f"http://localhost:{server.port}") == VISIT


def test_a_visit_over_a_unix_socket(start, report, command, tmp_path):
    path = tmp_path / "warehouse.sock"
    server = start(WAREHOUSE, "serve", tmp_path, path)
    retries = ("--retry", "1000", "--retry-delay", "0", "--retry-all-errors", "--retry-max-time", "60")
    assert command(*CURL, *retries, "--unix-socket", path, "http://localhost/") == b"hello\n"
    assert report(WAREHOUSE, "visit", "http://localhost", path) == VISIT
    assert server.stop() == 0
    assert server.output == ["closing", "stopped"]


def test_a_visit_by_way_of_nginx(server, report, nginx):
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
    assert report(WAREHOUSE, "visit", f"http://127.0.0.1:{proxy.port}", "--by-proxy") == VISIT


def test_asyncio_is_the_implementation_s(server, command, impl):
    assert command(*CURL, f"{server.url}/asyncio").decode() == ("asyncio" if impl == "stock" else impl)


def test_curl(server, command, tmp_path):
    (tmp_path / "numbers").write_bytes(NUMBERS)
    assert command(*CURL, f"{server.url}/file/numbers", "--limit-rate", "20M") == NUMBERS
    assert command(*CURL, f"{server.url}/file/numbers", "--range", "1000000-") == NUMBERS[1_000_000:]
    chunked = (
        "--header",
        "Transfer-Encoding: chunked",
        "--header",
        "Expect: 100-continue",
        "--data-binary",
        "@-",
    )
    assert command(*CURL, *chunked, f"{server.url}/echo", stdin=NUMBERS) == NUMBERS
    command(*CURL, "--upload-file", tmp_path / "numbers", f"{server.url}/file/copy")
    assert (tmp_path / "copy").read_bytes() == NUMBERS


def test_ten_thousand_requests(server, h2load):
    assert h2load("--h1", "--requests", 10_000, "--clients", 40, server.url) == 10_000


def test_wrk(server, wrk, tmp_path):
    (tmp_path / "numbers").write_bytes(NUMBERS)
    assert wrk(server.url, connections=40) > 0
    assert wrk(f"{server.url}/file/numbers", connections=8) > 0


def test_who_is_being_served_at_the_end_is_served(start, tmp_path):
    server = start(WAREHOUSE, "serve", tmp_path)
    port = int(server.expect(r"^port (\d+)$")[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/slow")
    server.expect("^slow$")
    assert server.stop() == 0, server.text
    assert connection.getresponse().read() == b"done"
    connection.close()
    assert server.output[-2:] == ["closing", "stopped"]
