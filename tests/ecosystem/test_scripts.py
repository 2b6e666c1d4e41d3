"""The examples that a newcomer runs first: hello, the echo server and its clients, the chat room."""

import re
import signal
import socket
import struct
import threading

import pytest
from program import EXAMPLES


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    return connection, connection.makefile("rwb", buffering=0)


def test_hello(start):
    program = start(EXAMPLES / "hello.py")
    assert program.finish() == 0
    assert program.output == ["Hello ...", "... World!"]


def test_the_program_runs_on_the_implementation_under_test(start, impl):
    code = "import asyncio; print(asyncio.__name__, asyncio.run(asyncio.sleep(0, 'ran')))"
    program = start("-c", code)
    assert program.finish() == 0, program.text
    assert program.output == ["asyncio ran" if impl == "stock" else f"{impl} ran"]


@pytest.fixture
def echo(start):
    program = start(EXAMPLES / "echo_server.py", "--port", "0")
    program.port = int(program.expect(r"echo server on .*:(\d+)")[1])
    return program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_echo_server_closes_on_a_signal(echo, number):
    assert echo.stop(number) == 0, echo.text
    assert echo.output[-1] == "echo server closed"


def test_echo_server_closes_with_a_client_that_stays(echo):
    connection, stream = connect(echo.port)
    with connection, stream:
        stream.write(b"hello\n")
        assert stream.readline() == b"hello\n"
        assert echo.stop() == 0, echo.text
        assert stream.readline() == b""


def test_echo_clients(start, echo):
    client = start(EXAMPLES / "echo_client.py", "--port", echo.port, "--clients", "100", "--messages", "50")
    assert client.finish() == 0, client.text
    assert client.output[-1].startswith("100 clients, 5000 messages,")
    assert echo.stop() == 0, echo.text
    assert echo.output[-1] == "echo server closed"


def test_echo_of_a_large_stream_with_back_pressure(echo):
    size = 8 << 20
    sent = bytes(range(256)) * (size // 256)
    connection = socket.create_connection(("127.0.0.1", echo.port), timeout=60)
    # The writer does not read, so the server's buffers fill up and it has to stop reading until this side does.
    writer = threading.Thread(target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR)))
    with connection:
        writer.start()
        received = bytearray()
        while data := connection.recv(1 << 16):
            received += data
        writer.join()
    assert received == sent


def test_echo_server_survives_a_reset(echo):
    connection = socket.create_connection(("127.0.0.1", echo.port), timeout=60)
    connection.sendall(b"x" * 100_000)
    # Linger of no seconds: close() sends RST, not FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    connection, stream = connect(echo.port)
    with connection, stream:
        stream.write(b"still there?\n")
        assert stream.readline() == b"still there?\n"
    assert echo.stop() == 0
    assert "Traceback" not in echo.text


def test_echo_client_without_a_server(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = start(EXAMPLES / "echo_client.py", "--port", port, "--clients", "1")
    assert client.finish() == 1
    assert re.search(r"ConnectionRefusedError: \[Errno 111\] Connect call failed", client.text)
    # The traceback is for the author of the program: it has to show the program's own lines.
    assert "echo_client.py" in client.text


@pytest.fixture
def chat(start):
    program = start(EXAMPLES / "chat_server.py", "--port", "0")
    program.port = int(program.expect(r"chat server on .*:(\d+)")[1])
    return program


class Guest:
    """A guest of the chat room, on a plain socket."""

    def __init__(self, port, name):
        self.connection, self.stream = connect(port)
        self.say(name)

    def say(self, line):
        self.stream.write(f"{line}\n".encode())

    def hears(self):
        return self.stream.readline().decode().rstrip()

    def leave(self):
        self.stream.close()
        self.connection.close()


def test_chat_room(chat):
    ada = Guest(chat.port, "ada")
    assert ada.hears() == "welcome ada; here: nobody else"
    ben = Guest(chat.port, "ben")
    assert ben.hears() == "welcome ben; here: ada"
    assert ada.hears() == "* ben came in"
    other = Guest(chat.port, "ada")
    assert other.hears() == "that name is taken or empty; come back with another"
    assert other.hears() == ""
    other.leave()
    for number in range(100):
        ada.say(f"message {number}")
    assert [ben.hears() for _ in range(100)] == [f"ada: message {number}" for number in range(100)]
    ben.say("grüß dich")
    assert ada.hears() == "ben: grüß dich"
    ben.leave()
    assert ada.hears() == "* ben left"
    chat.send_signal(signal.SIGTERM)
    assert ada.hears() == "* the room is closing"
    assert ada.hears() == ""
    ada.leave()
    assert chat.finish() == 0, chat.text
    assert chat.output[-1] == "chat server closed"


def test_chat_client(start, chat):
    ben = start(EXAMPLES / "chat_client.py", "ben", "--port", chat.port)
    ben.expect("^welcome ben; here: nobody else$")
    ada = start(EXAMPLES / "chat_client.py", "ada", "--port", chat.port)
    ada.expect("^welcome ada; here: ben$")
    ben.expect(r"^\* ada came in$")
    ada.type("hello")
    ben.expect("^ada: hello$")
    ada.end_input()
    assert ada.finish() == 0, ada.text
    ben.expect(r"^\* ada left$")
    ben.end_input()
    assert ben.finish() == 0, ben.text
    assert chat.stop() == 0, chat.text
