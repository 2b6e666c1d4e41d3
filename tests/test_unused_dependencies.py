"""`.ci/unused_dependencies.py`, which `make lint` runs: what it finds, and what it takes for a use."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parent.parent / ".ci" / "unused_dependencies.py"
WORKSPACE = """
[workspace]
members = ["crates/one"]
[workspace.dependencies]
taken = "1"
"""
PACKAGE = """
[package]
name = "one"
[dependencies]
taken.workspace = true
two-words = "1"
[target.'cfg(unix)'.dependencies]
only-here = "1"
[dev-dependencies]
tried = "1"
[build-dependencies]
built = "1"
"""
SOURCES = {
    "src/lib.rs": "use taken::Thing;\nfn f() { two_words::g(); only_here::h!() }\n",
    "tests/it.rs": "use tried::prelude::*;\n",
    "build.rs": "fn main() { built::run(); }\n",
}


@pytest.fixture
def unused(tmp_path):
    """`unused(file=text)` lays the workspace with these files changed; returns what is found, a line each."""

    def unused(changed=None, workspace=WORKSPACE):
        (tmp_path / "Cargo.toml").write_text(workspace)
        crate = tmp_path / "crates" / "one"
        for name, text in {"Cargo.toml": PACKAGE, **SOURCES, **(changed or {})}.items():
            (crate / name).parent.mkdir(parents=True, exist_ok=True)
            (crate / name).write_text(text)
        done = subprocess.run([sys.executable, CHECK, tmp_path], capture_output=True, text=True, check=False)
        found = [line.rpartition(": ")[2] for line in done.stderr.splitlines()]
        assert done.returncode == bool(found), done.stderr
        return found

    return unused


def test_all_are_used(unused):
    assert unused() == []


def test_of_the_workspace(unused):
    assert unused(workspace=WORKSPACE + 'left = "1"\n') == ["[workspace.dependencies] left"]


def test_of_a_crate(unused):
    found = unused({"src/lib.rs": "pub use taken;\n", "tests/it.rs": "fn tried() {}\n"})
    assert found == [
        "[dependencies] two-words",
        "[dev-dependencies] tried",
        "[target.cfg(unix).dependencies] only-here",
    ]


def test_a_build_script_is_no_use_of_the_crate(unused):
    assert unused({"build.rs": "fn main() { taken::f(); }\n"}) == ["[build-dependencies] built"]
    assert unused({"src/lib.rs": "use built::x;\n" + SOURCES["src/lib.rs"]}) == []


def test_a_longer_path_is_no_use(unused):
    source = SOURCES["src/lib.rs"].replace("use taken::Thing", "use two_words::taken::Thing, untaken::Thing")
    assert unused({"src/lib.rs": source}) == ["[dependencies] taken"]


def test_this_repository():
    done = subprocess.run(
        [sys.executable, CHECK, CHECK.parent.parent], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
