"""`.ci/check_wheel.py`: a wheel that is as it should be passes, and each kind of fault is named."""

import base64
import hashlib
import json
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / ".ci"))

import check_wheel
import finish_wheel

ROOT = Path(__file__).resolve().parent.parent.parent
MACHINE = platform.machine()
EXTENSION = f"ferrio/_ferrio.cpython-313-{MACHINE}-linux-gnu.so"
INFO = "ferrio-1.0.dist-info"
SOURCE = """
extern void *PyModule_Create2(void *, int);
void *PyInit__ferrio(void) { return PyModule_Create2(0, 0); }
"""
# A libc of old: nothing is asked of it but what was there from the beginning.
LIBC = ["-nostdlib", "-Wl,-z,now"]


@pytest.fixture(autouse=True)
def profile(monkeypatch):
    """What the extension was built for is tests/test_pgo.py's subject; this one is C."""
    share = {"is": 1.0}
    monkeypatch.setattr(check_wheel, "fitting", lambda extension, record: share["is"])
    return share


@pytest.fixture
def made(tmp_path):
    """Make a wheel: with other C, other flags of the compiler, and files that are changed (None: left out)."""

    def made(source=SOURCE, flags=LIBC, name="manylinux_2_28", split=True, **changes):
        code, library = tmp_path / "made.c", tmp_path / "made.so"
        code.write_text(source)
        link = ["-g", "-shared", "-fPIC", "-fvisibility=default", "-Wl,--build-id=sha1"]
        subprocess.run(["cc", *link, "-o", library, code, *flags], check=True)
        licences = {"LICENSE-MIT": "LICENSE-MIT", "LICENSE-APACHE": "LICENSE-APACHE"}
        licences |= {f"packages/licences/{one}": f"packages/licences/{one}" for one in check_wheel.RUST_FILES}
        components = [
            dict(zip(("name", "version"), one.split(), strict=True)) for one in check_wheel.crates()
        ]
        metadata = ["Metadata-Version: 2.4", "Name: ferrio", "Version: 1.0", "Requires-Python: >=3.11"]
        metadata += ["License-Expression: MIT OR Apache-2.0", *(f"License-File: {one}" for one in licences)]
        bom = {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "metadata": {"component": {"name": "ferrio", "version": "1.0"}},
            "components": components,
        }
        files = {
            "ferrio/py.typed": b"",
            EXTENSION: library.read_bytes(),
            f"{INFO}/METADATA": "\n".join(metadata).encode(),
            f"{INFO}/sboms/ferrio.cyclonedx.json": json.dumps(bom).encode(),
            **{f"{INFO}/licenses/{one}": (ROOT / one).read_bytes() for one in licences},
        }
        files |= {name: content for name, content in changes.pop("files", {}).items() if content is not None}
        for gone in [name for name, content in changes.pop("without", {}).items()]:
            del files[gone]
        rows = [
            f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},1"
            for name, data in files.items()
        ]
        files[f"{INFO}/RECORD"] = "\n".join([*rows, f"{INFO}/RECORD,,"]).encode()
        files |= changes.pop("unrecorded", {})
        assert not changes
        wheel = tmp_path / "dist" / f"ferrio-1.0-cp313-cp313-{name}_{MACHINE}.whl"
        wheel.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheel, "w") as archive:
            for file, content in files.items():
                archive.writestr(file, content)
        if split:
            finish_wheel.rewrite(wheel)
        return wheel

    return made


@pytest.fixture
def faults(tmp_path):
    folder = tmp_path / "opened"
    folder.mkdir()
    return lambda wheel: list(check_wheel.faults(wheel, folder))


def test_a_wheel_that_is_as_it_should_be(made, faults):
    assert faults(made()) == []


def test_crates_with_a_licence():
    names = {each.split()[0] for each in check_wheel.crates()}
    assert {"pyo3", "libc", "rustix"} <= names and "ferrio" not in names


def test_names(made, faults):
    wheel = made()
    other = wheel.with_name(f"ferrio-1.0-cp313-cp313-linux_{MACHINE}.whl")
    wheel.rename(other)
    assert "its name is not" in faults(other)[0]


def test_size(made, faults, monkeypatch):
    monkeypatch.setattr(check_wheel, "MOST_BYTES", 1000)
    assert any("are too many" in fault for fault in faults(made()))


def test_files_and_record(made, faults):
    found = faults(made(unrecorded={"ferrio/more.py": b""}, without={"ferrio/py.typed": None}))
    assert sorted(found) == ["no ferrio/py.typed", "only in the wheel, and not in RECORD: ferrio/more.py"]
    found = faults(made(unrecorded={"ferrio/py.typed": b"other"}))
    assert found == ["RECORD has another checksum of ferrio/py.typed"]


def test_licences(made, faults):
    text = f"{INFO}/licenses/packages/licences/crates.txt"
    assert faults(made(without={text: None})) == ["licenses/packages/licences/crates.txt is missing"]
    assert "is another file" in faults(made(files={text: b"old"}))[0]
    metadata = b"Name: ferrio\nVersion: 1.0\nRequires-Python: >=3.9\nLicense: MIT\n"
    found = faults(made(files={f"{INFO}/METADATA": metadata}))
    assert found[:2] == ["Requires-Python is >=3.9", "License-Expression is None"]
    assert sum(fault.startswith("no License-File ") for fault in found) == 4


def test_bill_of_materials(made, faults):
    bom = f"{INFO}/sboms/ferrio.cyclonedx.json"
    assert faults(made(without={bom: None})) == ["sboms/ has []"]
    found = faults(made(files={bom: b'{"bomFormat": "SPDX", "components": []}'}))
    assert found[0] == f"{bom} is no CycloneDX"
    assert any("does not list pyo3 " in fault for fault in found)


@pytest.mark.parametrize(
    ("source", "flags", "said"),
    [
        # glibc 2.36 has it; the wheel says 2.28.
        (
            SOURCE + "#include <stdlib.h>\nint f(void) { return arc4random(); }",
            [],
            "arc4random is of GLIBC_2.36",
        ),
        (
            SOURCE + "extern int elsewhere(void); int f(void) { return elsewhere(); }",
            LIBC,
            "elsewhere is neither",
        ),
        (SOURCE + "int more(void) { return 1; }", LIBC, "exports ['PyInit__ferrio', 'more']"),
        (SOURCE, [*LIBC, "-Wl,-z,execstack"], "its stack is executable"),
        (SOURCE, [*LIBC, "-Wl,--no-as-needed", "-lresolv"], "needs libresolv.so"),
    ],
)
def test_symbols(made, faults, source, flags, said):
    assert any(said in fault for fault in faults(made(source, flags)))


def test_debug_symbols(made, faults):
    found = faults(made(split=False))
    assert "line numbers are still in it" in found
    wheel = made()
    symbols = wheel.parent / f"{Path(EXTENSION).name}.debug"
    symbols.write_bytes(symbols.read_bytes() + b"\0")
    assert faults(wheel) == [f"its debug link has another checksum than {symbols.name}"]
    symbols.unlink()
    assert faults(wheel) == [f"{symbols.name} is not beside the wheel"]


def test_profile(made, faults, profile):
    profile["is"] = 0.0
    assert any("built without the profile" in fault for fault in faults(made()))


def test_nothing_to_check(capsys):
    assert check_wheel.main([]) == 2
