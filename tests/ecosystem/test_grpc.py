"""grpc.aio, server and client: `programs/grpc_exchange.py`."""

from program import PROGRAMS


def test_an_exchange(report):
    said = report(PROGRAMS / "grpc_exchange.py")
    assert said["double"] == "abab"
    assert said["echo"] == ["echo one", "echo two", "echo three"]
    assert said["deadline"] == ["DEADLINE_EXCEEDED", "Deadline Exceeded"]
    assert said["cancelled"] == [True, "CANCELLED"]
    assert said["given up"] == ["cancelled"] * 4 + ["ticks"] * 2
    assert (said["many"], said["streams"]) == (True, 1000)
    assert said["stopped"] == "UNAVAILABLE"
