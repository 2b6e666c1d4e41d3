"""The check of floors and circles (`.ci/floors.py`), on small crates made for it."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parent.parent / ".ci" / "floors.py"
FLOORS = """
| floor | files and folders |
|---|---|
| ground | `ground.rs`, `cellar/` |
| upper | `upper/`, `attic.rs`, `attic_key.rs` |
| roof | `lib.rs` |
"""


class Repository:
    def __init__(self, root):
        self.root = root
        self.sources = root / "crates" / "ferrio" / "src"
        self.exceptions = ""
        self.write(
            {
                "lib.rs": "mod attic;\nmod attic_key;\nmod cellar;\nmod ground;\nmod upper;\n",
                "attic.rs": "pub(crate) struct Trunk;\n",
                "attic_key.rs": "pub(crate) struct Key;\n",
                "cellar/mod.rs": "mod shelf;\n",
                "cellar/shelf.rs": "",
                "ground.rs": "pub(crate) struct Door;\n",
                "upper/mod.rs": "mod room;\n\npub(crate) use room::{Bed, make as made};\n",
                "upper/room.rs": "pub(crate) struct Bed;\npub(crate) fn make() {}\n",
            }
        )

    def write(self, files):
        for name, text in files.items():
            path = self.sources / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def allow(self, source, target, reason="a reason"):
        self.exceptions += f"| `{source}` | `{target}` | {reason} |\n"

    def run(self, *options):
        page = f"# A page\n\n<!-- floors -->{FLOORS}<!-- /floors -->\n\ntext\n\n"
        if self.exceptions:
            head = "| from | to | reason |\n|---|---|---|\n"
            page += f"<!-- floors: exceptions -->\n{head}{self.exceptions}<!-- /floors -->\n"
        (self.root / "ARCHITECTURE.md").write_text(page)
        done = subprocess.run(
            [sys.executable, CHECK, "--root", self.root, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def faults(self, *options):
        done = self.run(*options)
        lines = done.stderr.splitlines()
        assert done.returncode == (1 if lines else 0)
        return lines


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def upward(place, path, file):
    return f"crates/ferrio/src/{place}: `{path}` is in {file}, which is above (ground imports from upper)"


def test_this_repository_passes():
    done = subprocess.run([sys.executable, CHECK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_imports_downward_and_beside_pass(repository):
    repository.write(
        {
            "attic.rs": "use crate::ground::Door;\nuse crate::upper::Bed;\n\npub(crate) struct Trunk(Bed, Door);\n",
            "cellar/shelf.rs": "use std::fmt;\nuse crate::ground::Door;\n\nfn f() -> Door { fmt::x() }\n",
        }
    )
    assert repository.faults() == []


def test_an_import_from_above_is_named_with_its_line(repository):
    repository.write({"ground.rs": "//! Ground.\n\nuse crate::attic::Trunk;\n"})
    assert repository.faults() == [upward("ground.rs:3", "crate::attic::Trunk", "attic.rs")]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("use crate::upper::Bed;", "crate::upper::Bed"),
        ("use crate::upper::made;", "crate::upper::made"),
        ("use crate::upper::made as other;", "crate::upper::made"),
    ],
)
def test_a_re_export_is_followed_to_the_file_that_defines(repository, line, path):
    repository.write({"ground.rs": f"{line}\n"})
    assert repository.faults() == [upward("ground.rs:1", path, "upper/room.rs")]


def test_a_re_export_through_two_modules_is_followed(repository):
    repository.write({"cellar/mod.rs": "mod shelf;\n\npub(crate) use crate::upper::Bed;\n"})
    # Handing on is no import; using what was handed on is.
    assert repository.faults() == []
    repository.write({"cellar/shelf.rs": "use super::Bed;\n"})
    assert repository.faults() == [upward("cellar/shelf.rs:1", "super::Bed", "upper/room.rs")]


def test_an_import_in_a_nested_group_is_found_on_its_own_line(repository):
    repository.write(
        {"ground.rs": "use crate::{\n    cellar,\n    upper::{\n        self,\n        Bed,\n    },\n};\n"}
    )
    assert repository.faults() == [upward("ground.rs:5", "crate::upper::Bed", "upper/room.rs")]


@pytest.mark.parametrize(
    ("code", "line", "path"),
    [
        ("fn f() {\n    crate::upper::made();\n}\n", 2, "crate::upper::made"),
        ("use crate::upper;\n\nfn f() {\n    upper::made();\n}\n", 4, "upper::made"),
        ("use crate::{upper as rooms};\n\nfn f(_: rooms::Bed) {}\n", 3, "rooms::Bed"),
    ],
)
def test_a_path_where_it_is_needed_is_an_import(repository, code, line, path):
    repository.write({"ground.rs": code})
    assert repository.faults() == [upward(f"ground.rs:{line}", path, "upper/room.rs")]


@pytest.mark.parametrize(
    "text",
    [
        "// use crate::attic::Trunk;\n",
        "/* use crate::attic::Trunk;\n*/\n",
        'const A: &str = "\nuse crate::attic::Trunk;\n";\n',
        'const A: &str = r#"" crate::attic::Trunk"#;\n',
        "const QUOTE: char = '\"';\n// use crate::attic::Trunk; \"\n",
        "pub(in crate::cellar) fn f<'a>(_: &'a str, _: &'a str) {}\n",
    ],
)
def test_what_is_no_code_is_no_import(repository, text):
    repository.write({"cellar/shelf.rs": text})
    assert repository.faults() == []


def test_a_comment_does_not_hide_what_follows(repository):
    repository.write({"ground.rs": "const A: char = '\"'; // \"\nuse crate::attic::Trunk;\n"})
    assert repository.faults() == [upward("ground.rs:2", "crate::attic::Trunk", "attic.rs")]


def test_a_named_exception_is_let_pass_and_only_that(repository):
    repository.allow("ground.rs", "upper/room.rs")
    repository.write({"ground.rs": "use crate::attic::Trunk;\nuse crate::upper::Bed;\n"})
    assert repository.faults() == [upward("ground.rs:1", "crate::attic::Trunk", "attic.rs")]


def test_an_exception_that_nothing_needs_is_a_fault(repository):
    repository.allow("ground.rs", "upper/room.rs")
    assert repository.faults() == [
        "ARCHITECTURE.md: the exception `ground.rs` -> `upper/room.rs` is not needed"
    ]


def test_an_exception_wants_a_reason(repository):
    repository.allow("ground.rs", "upper/room.rs", reason="")
    assert "reason" in repository.faults()[0]


def test_a_circle_is_found_and_measured(repository):
    repository.write(
        {
            "attic.rs": "use crate::attic_key::Key;\n\npub(crate) struct Trunk(Key);\n",
            "attic_key.rs": "use crate::upper::Bed;\n\npub(crate) struct Key(Bed);\n",
            "upper/room.rs": "pub(crate) struct Bed;\n\nfn f(_: crate::attic::Trunk) {}\n",
        }
    )
    assert repository.faults("--limit", "3") == []
    files = "attic.rs, attic_key.rs, upper/room.rs"
    assert repository.faults("--limit", "2") == [f"3 files import each other in a circle, 2 may: {files}"]
    assert f"circle of 3: {files}\n" in repository.run("--figures").stdout


def test_a_file_without_a_floor_and_a_floor_without_a_file_are_faults(repository):
    repository.write(
        {"lib.rs": "mod attic;\nmod cellar;\nmod garden;\nmod ground;\nmod upper;\n", "garden.rs": ""}
    )
    assert repository.faults() == [
        "crates/ferrio/src/garden.rs:1: has no floor in ARCHITECTURE.md",
        "ARCHITECTURE.md: `attic_key.rs` has a floor and is not there",
    ]


def test_figures_count_pairs_of_files_and_fail_on_nothing(repository):
    repository.allow("ground.rs", "upper/room.rs")
    repository.write({"ground.rs": "use crate::attic::Trunk;\nuse crate::upper::{Bed, made};\n"})
    done = repository.run("--figures")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "8 files",
        "2 upward imports (from file to file), 1 of them named as exceptions",
        "  ground.rs -> attic.rs",
        "  ground.rs -> upper/room.rs",
    ]


def test_a_module_inside_a_file_may_hold_constants_and_import_nothing(repository):
    constants = "mod stage {\n    pub(super) const FIRST: u8 = 0;\n}\n"
    repository.write({"ground.rs": f"{constants}\nuse crate::attic::Trunk;\n"})
    assert repository.faults() == [upward("ground.rs:5", "crate::attic::Trunk", "attic.rs")]
    repository.write({"ground.rs": "mod stage {\n    use crate::attic::Trunk;\n}\n"})
    assert repository.faults() == [
        f"{repository.sources}/ground.rs:1: a module inside a file may not import; give it a file"
    ]


def test_a_page_without_the_table_is_a_fault(repository):
    repository.run()
    (repository.root / "ARCHITECTURE.md").write_text("# A page\n")
    done = subprocess.run([sys.executable, CHECK, "--root", repository.root], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "ARCHITECTURE.md: no table of floors\n")
