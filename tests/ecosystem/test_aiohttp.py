"""aiohttp, server and client, talking to each other in one process."""

import json

from program import PROGRAMS


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
