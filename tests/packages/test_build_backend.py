"""`packages/ferrio_build.py`, which pip calls: what it says where ferrio cannot be built, when it uses the profile."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "packages"))

from ferrio_build import unsuitable

ROOT = Path(__file__).resolve().parent.parent.parent
RECORDED_WITH = (ROOT / "pgo" / "rustc").read_text().strip()


@pytest.mark.parametrize(
    ("python", "said"),
    [
        (("Linux", "CPython", (3, 11), False), ""),
        (("Linux", "CPython", (3, 15), False), ""),
        (("Linux", "CPython", (3, 10), False), "this is CPython 3.10"),
        (("Linux", "CPython", (3, 16), False), "this is CPython 3.16"),
        (("Linux", "PyPy", (3, 11), False), "this is PyPy 3.11"),
        (("Linux", "CPython", (3, 14), True), "GIL"),
        (("Darwin", "CPython", (3, 13), False), "this is Darwin"),
        (("Windows", "CPython", (3, 13), False), "this is Windows"),
    ],
)
def test_for_which_pythons_it_builds(python, said):
    assert bool(unsuitable(*python)) == bool(said)
    assert said in unsuitable(*python)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The source distribution, made and unpacked: the folder in which pip works."""
    folder = tmp_path_factory.mktemp("source")
    done = subprocess.run(
        [Path(sys.executable).with_name("maturin"), "sdist", "--out", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (packed,) = folder.glob("ferrio-*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / packed.name.removesuffix(".tar.gz")


def test_the_source_distribution_has_what_a_build_reads(source):
    wanted = [
        "Cargo.lock",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "pyproject.toml",
        ".ci/prerequisites",
        "packages/ferrio_build.py",
        "packages/licences/crates.txt",
        "packages/licences/rust-standard-library.txt",
        "pgo/ferrio.profdata",
        "pgo/rustc",
        "pgo/with-profile",
        "crates/ferrio/build.rs",
        "python/ferrio/py.typed",
    ]
    assert [name for name in wanted if not (source / name).exists()] == []
    # Cargo's members have to be there as well, and nothing that was built.
    assert sorted(path.name for path in (source / "crates").iterdir()) == [
        "ferrio",
        "ferrio-core",
        "ferrio-object",
        "ferrio-openssl",
    ]
    assert list(source.rglob("*.so")) == []


@pytest.fixture
def hook(source, tmp_path):
    """Run Python in the folder of the source distribution as pip does, with programs of ours alone on PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "sed", "cut", "sort", "head", "printf", "cat", "tr", "dirname", "env"):
        found = next(p for d in os.defpath.split(":") if (p := Path(d, tool)).exists())
        (tools / tool).symlink_to(found)

    def run(code, **programs):
        for name, said in programs.items():
            (tools / name).write_text(f"#!/bin/sh\necho '{said}'\n")
            (tools / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if "RUSTFLAGS" not in name}
        return subprocess.run(
            [
                sys.executable,
                "-c",
                f"import os, sys; sys.path.insert(0, 'packages'); import ferrio_build\n{code}",
            ],
            cwd=source,
            env={**kept, "PATH": str(tools)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


ASKED = "print(ferrio_build.get_requires_for_build_wheel())"


def test_without_rust_it_says_what_to_install(hook):
    done = hook(ASKED, cc="")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "ferrio cannot be built here: there is no Rust toolchain (cargo and rustc, at least 1." in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_an_old_rust_and_no_compiler_are_named(hook):
    done = hook(ASKED, cargo="cargo 1.60.0", rustc="rustc 1.60.0 (7737e0b5c 2022-04-04)")
    assert done.returncode == 1
    assert "rustc is 1.60.0; at least 1." in done.stderr
    assert "there is no C compiler" in done.stderr


def test_with_rust_it_asks_for_nothing_more(hook):
    done = hook(ASKED, cargo="cargo 1.99.0", rustc="rustc 1.99.0 (0 2027-01-01)", cc="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


FLAGS = "ferrio_build.use_profile(); print(os.environ.get('CARGO_ENCODED_RUSTFLAGS', 'none'))"


def test_the_profile_goes_to_its_compiler_alone(hook, source):
    done = hook(FLAGS, rustc=RECORDED_WITH)
    assert f"-Cprofile-use={source}/pgo/ferrio.profdata" in done.stdout.split("\x1f")
    assert done.stderr == ""
    done = hook(FLAGS, rustc="rustc 1.99.0 (0 2027-01-01)")
    assert done.stdout == "none\n"
    assert f"the recorded profile is of {RECORDED_WITH} and not used" in done.stderr
