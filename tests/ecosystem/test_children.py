"""Programs that live by child processes: anyio, aiomultiprocess, a job runner, Jupyter, IPython, supervisors."""

import os
import signal
import urllib.request

import pytest
from program import PROGRAMS


def test_anyio(report):
    said = report(PROGRAMS / "anyio_processes.py")
    assert said["run"] == [0, "HELLO\n"]
    assert said["cancelled"] is True
    assert said["at once"] == [[number, [number, 100_000]] for number in range(12)]
    assert said["pool"] == [0, 1, 4, 9]


def test_a_job_runner(report):
    said = report(PROGRAMS / "job_runner.py")
    assert said["compiled"] in ([[0] * 7, 0, 0, "15\n"], "no compiler")
    assert said["progress"] == [f"frame={number}" for number in range(1, 6)] + ["done", 0]
    assert said["late"] == "late"


def test_aiomultiprocess(report):
    said = report(PROGRAMS / "worker_processes.py")
    assert said["map"] == [[number, number] for number in range(10)]


def test_a_jupyter_kernel(report):
    said = report(PROGRAMS / "notebook_kernel.py")
    assert said["cell"] == ["ok", "42\n"]
    assert said["await"] == ["ok", "(b'data', None)\n"]
    assert said["gone"] is False


def test_ipython(report):
    said = report(PROGRAMS / "ipython_shell.py")
    assert said["lines"] == ["one", "two"]
    assert said["await"] == ["data", 3]
    assert said["script"] == [True, "from a script\n"]


@pytest.mark.parametrize(
    ("server", "address", "ready"),
    [
        (
            ["uvicorn", "asgi_room:app", "--workers", "2", "--port", "0"],
            r"running on (http://\S+)",
            "Application startup complete",
        ),
        (
            ["hypercorn", "asgi_room:app", "--workers", "2", "--bind", "127.0.0.1:0"],
            r"Running on (http://\S+)",
            None,
        ),
    ],
    ids=["uvicorn", "hypercorn"],
)
def test_a_supervisor_and_its_workers(start, server, address, ready):
    path = os.pathsep.join([str(PROGRAMS), os.environ.get("PYTHONPATH", "")])
    program = start("-m", *server, env={"PYTHONPATH": path})
    url = program.expect(address)[1]
    if ready:
        for _ in range(2):
            program.expect(ready)
    for _ in range(10):
        with urllib.request.urlopen(f"{url}/") as answer:
            assert answer.status == 200
    program.send_signal(signal.SIGTERM)
    assert program.finish() in (0, -signal.SIGTERM), program.text
