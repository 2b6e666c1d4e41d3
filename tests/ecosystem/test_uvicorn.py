"""uvicorn, the ASGI server, on both of its HTTP parsers, serving `examples/asgi_app.py`.

`--loop asyncio`: uvicorn would otherwise take uvloop wherever that is installed. The clients are curl and http.client.
"""

import http.client
import json
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from program import EXAMPLES, PROGRAMS, on_path


class Server:
    """A running uvicorn."""

    def __init__(self, program):
        self.program = program
        self.port = int(program.expect(r"Uvicorn running on http://127\.0\.0\.1:(\d+)")[1])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path, connection=None):
        """Status and body of a GET, on the connection or on one of its own."""
        one_use = connection or self.connect()
        try:
            one_use.request("GET", path)
            response = one_use.getresponse()
            return response.status, response.read()
        finally:
            if connection is None:
                one_use.close()


@pytest.fixture(params=["httptools", "h11"])
def server(start, request):
    return serve(start, "--http", request.param)


def serve(start, *options):
    return Server(
        start(
            "-m", "uvicorn", "asgi_app:app", "--app-dir", EXAMPLES, "--port", "0",
            "--loop", "asyncio", "--no-access-log", *options,
        )
    )  # fmt: skip


def test_curl(server):
    url = f"http://127.0.0.1:{server.port}"
    if curl := shutil.which("curl"):

        def fetch(path, *options):
            command = [curl, "--silent", "--show-error", "--fail", "--max-time", "60", *options, url + path]
            return subprocess.run(command, capture_output=True, check=True, text=True).stdout
    else:

        def fetch(path, *options):
            connection = server.connect()
            connection.request("POST" if options else "GET", path, body=options[-1] if options else None)
            body = connection.getresponse().read().decode()
            connection.close()
            return body

    assert fetch("/") == "Hello from asyncio\n"
    assert fetch("/echo", "--data-binary", "some words") == "some words"
    assert fetch("/lines?n=3") == "line 0\nline 1\nline 2\n"


def test_asyncio_is_the_implementation_s(server, impl):
    status, body = server.get("/loop")
    assert status == 200
    assert json.loads(body)["asyncio"] == ("asyncio" if impl == "stock" else impl)


def test_a_thousand_requests(server):
    # 180 on each of five connections that are kept, by five clients at once; then a hundred new connections.
    def keep_one(_):
        connection = server.connect()
        answers = [server.get("/", connection) for _ in range(180)]
        connection.close()
        return answers

    with ThreadPoolExecutor(5) as clients:
        kept = [answer for answers in clients.map(keep_one, range(5)) for answer in answers]
        fresh = list(clients.map(lambda _: server.get("/"), range(100)))
    assert len(kept + fresh) == 1000
    assert set(kept + fresh) == {(200, b"Hello from asyncio\n")}


def test_pipelined_requests(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 9)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while data := connection.recv(65536):
            received += data
    assert received.count(b"HTTP/1.1 200 OK") == 10
    assert received.count(b"Hello from asyncio\n") == 10


def test_a_chunked_upload_comes_back(server):
    chunks = [bytes([number]) * 10_000 for number in range(100)]
    connection = server.connect()
    connection.request("POST", "/echo", body=iter(chunks), encode_chunked=True)
    response = connection.getresponse()
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.read() == b"".join(chunks)
    connection.close()


def test_a_streamed_response(server):
    status, body = server.get("/lines?n=2000")
    assert status == 200
    assert body == b"".join(f"line {number}\n".encode() for number in range(2000))


def test_a_client_that_leaves_in_the_middle(server):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    connection.sendall(b"GET /lines?n=100000 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(100)
    connection.close()
    assert server.get("/") == (200, b"Hello from asyncio\n")


def test_not_found_and_an_exception(server):
    assert server.get("/nowhere") == (404, b"nothing at /nowhere\n")
    assert server.get("/trouble") == (500, b"Internal Server Error")
    server.program.expect("RuntimeError: trouble, as asked for")
    assert server.get("/")[0] == 200


def test_a_request_that_is_not_http(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"this is not HTTP\r\n\r\n")
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lifespan_and_a_clean_end(server, number):
    status, body = server.get("/lifespan")
    assert status == 200
    assert json.loads(body)["started_at"] > 0
    status = server.program.stop(number)
    # uvicorn shuts down first and then lets the signal have its usual effect.
    assert status in ((0, 1, 130, -signal.SIGINT) if number == signal.SIGINT else (-signal.SIGTERM,))
    lines = server.program.output
    assert lines.index("application started") < lines.index("application stopped")
    assert any("Finished server process" in line for line in lines)
    assert "Task was destroyed" not in server.program.text


def test_a_unix_socket(start, tmp_path):
    path = tmp_path / "uvicorn.sock"
    program = start(
        "-m", "uvicorn", "asgi_app:app", "--app-dir", EXAMPLES, "--uds", path, "--loop", "asyncio"
    )
    program.expect("Uvicorn running on unix socket")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"Hello from asyncio\n")
    program.stop()
    assert "application stopped" in program.output


def test_uvicorn_in_a_program_of_one_s_own(start):
    program = start(PROGRAMS / "uvicorn_embedded.py", env={"PYTHONPATH": on_path(EXAMPLES)})
    assert program.finish() == 0, program.text
    assert "Hello from asyncio" in program.output
    assert "application stopped" in program.output
