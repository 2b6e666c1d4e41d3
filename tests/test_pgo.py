"""What release builds are made for (`pgo/`): when the record is used, and that the programs run which made it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ferrio import _ferrio

sys.path.append(str(Path(__file__).resolve().parent.parent))

from pgo.clients import CLIENTS
from pgo.fits import LEAST, fitting, main
from pgo.servers import SERVERS
from pgo.tasks import PROGRAMS

ROOT = Path(__file__).resolve().parent.parent
RECORDED_WITH = (ROOT / "pgo" / "rustc").read_text().strip()
FLAGS = [f"-Cprofile-use={ROOT}/pgo/ferrio.profdata", "-Cllvm-args=-no-pgo-warn-mismatch"]


@pytest.fixture
def flags(tmp_path):
    """The flags that cargo gets by `pgo/with-profile` where rustc calls itself this, and what else was said."""

    def flags(version, **environment):
        rustc = tmp_path / "rustc"
        rustc.write_text(f"#!/bin/sh\necho '{version}'\n")
        rustc.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if "RUSTFLAGS" not in name}
        done = subprocess.run(
            ["sh", ROOT / "pgo" / "with-profile", "sh", "-c", 'printf %s "${CARGO_ENCODED_RUSTFLAGS-none}"'],
            env={**kept, "PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split("\x1f"), done.stderr

    return flags


def test_the_record_is_used_by_the_compiler_that_made_it(flags):
    assert flags(RECORDED_WITH) == (FLAGS, "")
    # LLVM's indexed profiles begin so; the compiler would refuse anything else.
    assert (ROOT / "pgo" / "ferrio.profdata").read_bytes().startswith(b"\xfflprofi\x81")


def test_the_builders_own_flags_are_kept(flags):
    own = ["-Ctarget-cpu=native", "-Cforce-frame-pointers=yes"]
    assert flags(RECORDED_WITH, RUSTFLAGS=f" {'  '.join(own)} ") == ([*own, *FLAGS], "")
    own = ["-Clink-arg=-L/with a space"]
    assert flags(RECORDED_WITH, CARGO_ENCODED_RUSTFLAGS=own[0], RUSTFLAGS="-O") == ([*own, *FLAGS], "")


def test_another_compiler_is_given_none_and_the_builder_told(flags):
    given, told = flags("rustc 1.0.0 (0123456789 2015-05-15)")
    assert given == ["none"]
    assert RECORDED_WITH in told


def test_the_extension_was_built_with_the_record():
    if not (Path(sys.prefix) / "stamps" / "release").exists():
        pytest.skip("debug builds are made without the record")
    version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout
    if version.strip() != RECORDED_WITH:
        pytest.skip("another compiler than the record's")
    assert fitting(Path(_ferrio.__file__), ROOT / "pgo" / "ferrio.profdata") >= LEAST


def _symbols(path, codes):
    path.write_bytes(b"\0".join(b"_ZN7_ferrio4turn%d17h%016xE.llvm.7" % each for each in codes))
    return path


def test_an_extension_that_was_built_without_the_record_is_an_error(tmp_path, capsys):
    record = _symbols(tmp_path / "ferrio.profdata", [(name, name) for name in range(10)])
    version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "rustc").write_text(version)

    def check(codes):
        return main(_symbols(tmp_path / "_ferrio.so", codes), record, tmp_path / "rustc")

    # Two signatures have changed; some functions are inlined everywhere, some were never run.
    assert check([(name, name) for name in range(2, 20)] + [(0, 77), (1, 78)]) == 0
    # A function with type parameters has several symbols.
    assert check([(name, name) for name in range(10)] + [(name, name + 50) for name in range(10)]) == 0
    assert capsys.readouterr().err == ""
    assert check([(name, name + 50) for name in range(20)]) == 1
    assert "CARGO_PROFILE_RELEASE_" in capsys.readouterr().err
    with pytest.raises(ValueError):
        check([])
    # Not used because of the compiler: that is no error.
    (tmp_path / "rustc").write_text("rustc 1.0.0 (0123456789 2015-05-15)\n")
    assert check([(name, name + 50) for name in range(20)]) == 0


def test_each_server_has_clients():
    assert [name for name, _ in CLIENTS] == list(SERVERS)


@pytest.mark.parametrize("name", [*(program.__name__ for program in PROGRAMS), *SERVERS])
def test_program(name):
    """They are ordinary programs: without a warning, and with their own assertions true."""
    done = subprocess.run(
        [sys.executable, "-m", "ferrio", "run", "-m", "pgo.train", name],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\n", "")
