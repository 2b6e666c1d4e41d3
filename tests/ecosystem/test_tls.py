"""Real programs over TLS, with real peers: openssl, curl, h2load, nginx, PostgreSQL, Redis, and each other.

The programs are those of the other tests here, with a certificate; what they trust is in `SSL_CERT_FILE`. On ferrio
each test runs with both of its TLS engines.
"""

import hashlib
import json
import signal
import subprocess
import tempfile
from pathlib import Path

import implementation
import pytest
import servers
from program import PATIENCE, PROGRAMS, on_path
from test_aiohttp import VISIT
from test_asgi_servers import HTTPX, WEBSOCKETS
from test_redis import WORKSHOP

CA, CERTIFICATE = servers.CA, servers.CERTIFICATE
NUMBERS = bytes(range(256)) * 4096
CURL = ("curl", "--silent", "--show-error", "--fail", "--max-time", "60", "--cacert", CA)

ENGINES = ["portable", "direct"] if implementation.chosen() == "ferrio" else ["stock"]


@pytest.fixture(params=ENGINES, autouse=True)
def engine(request, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CA))
    if request.param != "stock":
        monkeypatch.setenv("FERRIO_TLS", request.param)
    return request.param


# ------------------------------------------------------------------------------- servers on asyncio alone


@pytest.fixture(params=["protocol", "buffered", "streams"])
def server(start, request):
    program = start(PROGRAMS / "http_server.py", request.param, CERTIFICATE)
    program.port = int(program.expect(r"^port (\d+)$")[1])
    program.url = f"https://127.0.0.1:{program.port}"
    yield program
    assert program.stop() == 0, program.text
    assert program.output[1:] == ["stopped"]


@pytest.mark.parametrize("version", ["--tls-max=1.2", "--tlsv1.3"])
def test_curl(server, command, version):
    curl = (*CURL, *version.split("="))
    assert command(*curl, server.url) == b"hello\n"
    assert command(*curl, "--data-binary", "@-", f"{server.url}/", stdin=NUMBERS) == NUMBERS
    slowly = command(*curl, "--limit-rate", "20M", f"{server.url}/bytes/8000000")
    assert len(slowly) == 8_000_000
    assert slowly.startswith(NUMBERS)
    many = command(*curl, *[server.url] * 100, "--write-out", "%{num_connects}\n")
    assert many.count(b"hello\n") == 100
    assert many.count(b"\n1\n") == 1


def test_curl_refuses_the_certificate(server, command):
    """And the server goes on."""
    if why := servers.missing("curl"):
        pytest.skip(why)
    refused = subprocess.run(
        ["curl", "--silent", "--resolve", f"example.org:{server.port}:127.0.0.1", "--cacert", CA,
         f"https://example.org:{server.port}/"],
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert refused.returncode == 60
    assert command(*CURL, server.url) == b"hello\n"


def test_ten_thousand_requests(server, h2load):
    assert h2load("--h1", "--requests", 10_000, "--clients", 40, server.url) == 10_000


def test_wrk(server, wrk):
    assert wrk(server.url, connections=40) > 0
    assert wrk(f"{server.url}/bytes/100000", connections=8) > 0


def test_behind_nginx_over_tls(server, nginx, command, h2load):
    """nginx checks the certificate of what it stands in front of, and keeps its connections."""
    proxy = nginx(
        f"""
        upstream behind {{ server 127.0.0.1:{server.port}; keepalive 16; }}
        server {{
            listen 127.0.0.1:$port;
            location / {{
                proxy_pass https://behind; proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_ssl_verify on; proxy_ssl_trusted_certificate {readable(CA)}; proxy_ssl_name localhost;
            }}
        }}
        """
    )
    url = f"http://127.0.0.1:{proxy.port}"
    assert h2load("--h1", "--requests", 5000, "--clients", 32, url) == 5000
    assert command("curl", "--silent", "--fail", f"{url}/bytes/{len(NUMBERS)}") == NUMBERS


def readable(path):
    """A copy of a file that nginx's user may read, wherever the tests are."""
    copy = Path(tempfile.gettempdir()) / f"ferrio-{path.name}"
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o644)
    return copy


def test_a_client_of_nginx(nginx, report):
    certificate = readable(CERTIFICATE)
    server = nginx(
        f"""server {{
            listen 127.0.0.1:$port ssl; root www; keepalive_requests 100000;
            ssl_certificate {certificate}; ssl_certificate_key {certificate};
        }}""",
        {"index.html": b"hello\n", "large": NUMBERS},
    )
    assert report(PROGRAMS / "http_client.py", server.port, "--tls") == {
        "pipelined": 16 * 500,
        "single": 20 * 50 * len("hello\n"),
        "large": 8,
        "range": [(1000 + number) % 256 for number in range(10)],
        "after it": len("hello\n"),
    }


# ------------------------------------------------------------------------------- the openssl command


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client(server, command, version):
    """A request and its answer; then five more handshakes that resume the session."""
    asked = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    s_client = ("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", CA, version)
    answer = command(*s_client, "-verify_return_error", "-quiet", "-ign_eof", stdin=asked)
    assert answer.endswith(b"hello\n")
    resumed = command(*s_client, "-reconnect", stdin=b"")
    if version == "-tls1_2":
        assert resumed.count(b"\nReused, ") == 5


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_server(report, command, version):
    if why := servers.missing("openssl"):
        pytest.skip(why)
    port = servers.free_port()
    with subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", CERTIFICATE, version, "-rev"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        try:
            while b"ACCEPT" not in (line := server.stdout.readline()):
                assert line, "openssl s_server did not start"
            visit = {"right": 300, "version": "TLSv" + version[4:].replace("_", "."), "name": "localhost"}
            assert report(PROGRAMS / "line_client.py", port) == [visit] * 3
        finally:
            server.kill()


# ------------------------------------------------------------------------------- ASGI servers

ASGI = {
    "uvicorn-httptools": ["uvicorn", "--http", "httptools"],
    "uvicorn-h11": ["uvicorn", "--http", "h11", "--ws", "wsproto"],
    "hypercorn": ["hypercorn", "--config", PROGRAMS / "hypercorn.toml"],
}


@pytest.fixture(params=ASGI)
def asgi(start, request):
    yield from serve(start, request.param)


@pytest.fixture
def hypercorn(start):
    yield from serve(start, "hypercorn")


def serve(start, name):
    module, *options = ASGI[name]
    if module == "uvicorn":
        options += ["--app-dir", PROGRAMS, "--port", "0", "--loop", "asyncio", "--no-access-log"]
        options += ["--ssl-certfile", CERTIFICATE, "--ssl-keyfile", CERTIFICATE]
    else:
        options += ["--bind", "127.0.0.1:0", "--certfile", CERTIFICATE, "--keyfile", CERTIFICATE]
    program = start("-m", module, "asgi_room:app", *options, env={"PYTHONPATH": on_path(PROGRAMS)})
    program.port = int(program.expect(r"[Rr]unning on https://127\.0\.0\.1:(\d+)")[1])
    program.url = f"https://127.0.0.1:{program.port}"
    program.ws_url = f"wss://127.0.0.1:{program.port}/"
    program.name = name
    yield program
    program.stop()
    assert "application stopped" in program.output, program.text
    assert "Traceback" not in program.text, program.text


def test_asgi_with_curl_and_h2load(asgi, command, h2load):
    assert command(*CURL, asgi.url) == b"hello\n"
    assert command(*CURL, f"{asgi.url}/bytes?n={len(NUMBERS)}", "--limit-rate", "20M") == NUMBERS
    upload = (
        "--header",
        "Transfer-Encoding: chunked",
        "--header",
        "Expect: 100-continue",
        "--data-binary",
        "@-",
    )
    digest, length = json.loads(command(*CURL, *upload, f"{asgi.url}/digest", stdin=NUMBERS))
    assert (digest, length) == (hashlib.sha256(NUMBERS).hexdigest(), len(NUMBERS))
    # hypercorn's status lines end after the number, which h2load takes for a failure in HTTP/1.1.
    protocol = [] if asgi.name == "hypercorn" else ["--h1"]
    assert h2load(*protocol, "--requests", 5000, "--clients", 20, asgi.url) == 5000


def test_asgi_with_httpx(asgi, report):
    expected = {"greeting": ["HTTP/1.1", 200, "hello\n"], **HTTPX}
    assert report(PROGRAMS / "httpx_client.py", asgi.url) == expected


def test_asgi_with_websockets(asgi, report):
    assert report(PROGRAMS / "websockets_client.py", asgi.ws_url) == WEBSOCKETS


def test_http2(hypercorn, report, command, h2load):
    """Chosen by ALPN."""
    streams = ("--clients", 10, "--max-concurrent-streams", 10)
    assert h2load(*streams, "--requests", 5000, hypercorn.url) == 5000
    large = f"{hypercorn.url}/bytes?n={len(NUMBERS)}"
    assert command(*CURL, "--http2", large) == NUMBERS
    seen = report(PROGRAMS / "httpx_client.py", hypercorn.url, "--http2")
    assert seen == {"greeting": ["HTTP/2", 200, "hello\n"], **HTTPX}


# ------------------------------------------------------------------------------- aiohttp, websockets


def test_aiohttp(start, report, tmp_path, command, h2load):
    program = start(PROGRAMS / "aiohttp_warehouse.py", "serve", tmp_path, CERTIFICATE)
    port = program.expect(r"^port (\d+)$")[1]
    url = f"https://127.0.0.1:{port}"
    assert report(PROGRAMS / "aiohttp_warehouse.py", "visit", url) == VISIT
    assert command(*CURL, url) == b"hello\n"
    # A file: what would be sendfile goes through TLS.
    assert len(command(*CURL, f"{url}/file/large")) == VISIT["fetched"][1]
    assert h2load("--h1", "--requests", 5000, "--clients", 20, url) == 5000
    assert program.stop(signal.SIGTERM) == 0, program.text
    assert "Traceback" not in program.text, program.text


def test_a_room_of_websockets(report):
    seen = report(PROGRAMS / "websockets_room.py", CERTIFICATE)
    assert seen["ten thousand"] == 10_000
    assert seen["heard by all"] == 100
    assert seen["reconnected"] == ["time 0", "time 1", "time 2"]
    assert seen["closing down"] == 1001


# ------------------------------------------------------------------------------- databases


def test_asyncpg(report, postgresql):
    seen = report(PROGRAMS / "asyncpg_bank.py", postgresql.tls_dsn, postgresql.tls_dsn)
    assert seen["transfers"] == {"every transfer": 500, "refused": True, "balance": 5000, "wrong": 0}
    assert seen["copy"] == {"copied": 20_000, "differ": 0}
    assert seen["statements"]["ten megabytes"]
    assert seen["interruptions"]["the pool"] == 3
    assert seen["many"] == sum(range(10_000))


def test_psycopg(report, postgresql):
    seen = report(PROGRAMS / "psycopg_ledger.py", postgresql.tls_dsn, postgresql.tls_dsn)
    assert seen["pipelines"]["sum"] == sum(range(10_000))
    assert seen["pool"]["visits"] == 60


def test_redis(report, redis):
    assert report(PROGRAMS / "redis_workshop.py", redis.tls_port, redis.path, CA) == WORKSHOP


# ------------------------------------------------------------------------------- mail and files


def test_mail(report):
    """STARTTLS: the server's through an SSLProtocol that the library makes itself."""
    assert report(PROGRAMS / "mail_room.py", CERTIFICATE) == {
        "starttls": 100,
        "tls": 100,
        "large": 1,
        "without": 530,
        "unknown CA": 20,
        "delivered": True,
        "largest": 5_070_384,
    }


def test_ftp(report, tmp_path):
    names = [f"file {number}" for number in range(5)]
    assert report(PROGRAMS / "ftp_depot.py", tmp_path, CERTIFICATE) == {
        "listed": [[name, 256 * 20_000] for name in names],
        "downloaded": [True] * 5,
        "left": [["file 2", "file 3", "file 4", "first"], []],
    }


# ------------------------------------------------------------------------------- neighbours


def test_errors_that_another_library_has_left(start, engine):
    """In the queue of the OpenSSL that both use. The direct engine neither reads them nor leaves any."""
    if engine != "direct":
        pytest.skip("Python's own ssl takes an error that is there already for one of its own")
    program = start(PROGRAMS / "tls_neighbours.py", "errors", CERTIFICATE, CA)
    assert program.finish() == 0, program.text
    assert json.loads(program.output[-1]) == {"same": True, "context": True, "refused": 62}


@pytest.mark.parametrize("kind", ["psycopg", "truststore"])
def test_neighbours(report, kind):
    seen = report(PROGRAMS / "tls_neighbours.py", kind, CERTIFICATE, CA)
    assert seen.pop("OpenSSLs", True)
    assert seen == {"same": True, "context": True, "refused": 62}
