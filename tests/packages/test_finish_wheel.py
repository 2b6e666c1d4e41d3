"""`.ci/finish_wheel.py`, which `make wheel` runs: what leaves the wheel, what stays, and that it is still whole."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FINISH = ROOT / ".ci" / "finish_wheel.py"
SOURCE = """
static __attribute__((noinline)) int inner(int n) { return n + 1; }
int f(void) { return inner(1); }
"""
RECORD = "made-1.dist-info/RECORD"
BILL = "made-1.dist-info/sboms/made.cyclonedx.json"


def checksum(content):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def sections(file):
    return subprocess.run(["objdump", "-h", file], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def wheel(tmp_path):
    """A wheel with an extension that has line numbers, and a function of its own that it does not export."""
    source = tmp_path / "made.c"
    source.write_text(SOURCE)
    extension = tmp_path / "made.so"
    subprocess.run(["cc", "-g", "-shared", "-fPIC", "-o", extension, source], check=True)
    files = {"made.so": extension.read_bytes(), "made.py": b"import made\n"}
    files[BILL] = f'{{"ref": "path+{ROOT.as_uri()}/crates/made#1"}}'.encode()
    rows = [f"{name},{checksum(content)},{len(content)}\n" for name, content in files.items()]
    files[RECORD] = "".join([*rows, f"{RECORD},,\n"]).encode()
    path = tmp_path / "dist" / "made-1-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def finish(wheel):
    subprocess.run([sys.executable, FINISH, wheel], check=True, capture_output=True)


def test_line_numbers_leave_and_names_stay(wheel, tmp_path):
    finish(wheel)
    with zipfile.ZipFile(wheel) as archive:
        archive.extract("made.so", tmp_path / "installed")
    extension, symbols = tmp_path / "installed" / "made.so", wheel.parent / "made.so.debug"
    assert ".debug_line" not in sections(extension) and ".gnu_debuglink" in sections(extension)
    assert ".debug_line" in sections(symbols)
    names = subprocess.run(["nm", extension], capture_output=True, text=True, check=True).stdout
    assert " t inner" in names and " T f" in names


def test_the_wheel_is_whole(wheel):
    finish(wheel)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        rows = [row.split(",") for row in archive.read(RECORD).decode().splitlines()]
        assert [row[0] for row in rows] == ["made.so", "made.py", BILL, RECORD]
        for name, recorded, size in rows[:3]:
            content = archive.read(name)
            assert (recorded, size) == (checksum(content), str(len(content)))
        assert rows[3][1:] == ["", ""]


def test_a_second_time_changes_nothing(wheel):
    finish(wheel)
    before = wheel.read_bytes(), (wheel.parent / "made.so.debug").read_bytes()
    finish(wheel)
    assert (wheel.read_bytes(), (wheel.parent / "made.so.debug").read_bytes()) == before


def test_the_bill_of_materials_does_not_name_the_folder_of_the_build(wheel):
    finish(wheel)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(BILL) == b'{"ref": "path+file:///crates/made#1"}'
