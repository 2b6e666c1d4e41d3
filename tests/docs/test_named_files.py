"""The documents name files, folders, commands and commits: all of them exist, and a newcomer's files are all named."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else None


FILES = git("ls-files", "--cached", "--others", "--exclude-standard")
if FILES is None:
    pytest.skip("not a checkout of git, which knows the files", allow_module_level=True)
DOCUMENTS = [name for name in FILES if name.endswith(".md")]
KNOWN = {*FILES, *(str(folder) for name in FILES for folder in Path(name).parents)}

# A name in a document is looked for beside it, and from these folders on.
ROOTS = ("", "crates", "crates/ferrio/src", "python/ferrio", "docs", "docs/programs", "tests", "bench")
ENDINGS = "py|pyi|rs|md|toml|sh|yml|json|txt|svg|profdata|proptest-regressions"
# Made by commands, a user's own, the system's, or no path at all.
ELSEWHERE = re.compile(
    r"""\.venv-3\.(NN|\d+)/.* | \.work/.* | \.hypothesis/ | \.build-id/.* | \.dist-info/.* | ferrio-.*\.dist-info/.*
        | target/.* | licenses/ | sboms/
        | /.*
        | app\.py | PROGRAM\.py | OUT\.(md|svg) | n/a
        | call_soon/later/at | add_reader/writer""",
    re.VERBOSE,
)


def words(document):
    """What stands in `backquotes` outside of blocks, word by word."""
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.DOTALL | re.MULTILINE)
    for quoted in re.findall(r"`([^`\n]+)`", text):
        yield from quoted.split()


def paths(document):
    for word in words(document):
        word = word.rstrip(",;:)").lstrip("(")
        if not re.fullmatch(r"[\w.*/-]+", word) or ELSEWHERE.fullmatch(word):
            continue
        if "/" in word or re.search(rf"\.({ENDINGS})$", word):
            yield word.rstrip("/")


def exists(path, document):
    folders = [*ROOTS, str(Path(document).parent)]
    pattern = re.escape(path).replace(r"\*", "[^/]*").replace("NN", r"\d+")
    if pattern != re.escape(path):
        return any(re.search(rf"(^|/){pattern}$", name) for name in KNOWN)
    return any(str(Path(folder, path)) in KNOWN for folder in folders) or any(
        name.endswith(f"/{path}") for name in KNOWN
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_file_that_a_document_names_is_there(document):
    assert [path for path in paths(document) if not exists(path, document)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_command_that_a_document_names_is_in_the_makefile(document):
    targets = set(re.findall(r"^([a-z][\w.-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / document).read_text()
    named = {
        word
        for command in re.findall(r"`make ([^`\n]+)`", text) + re.findall(r"^make (.+)$", text, re.MULTILINE)
        for word in re.split(r"\s+#", re.sub(r'\w+="[^"]*"', "", command))[0].split()
        if "=" not in word
    }
    assert sorted(named - targets) == []


def test_what_lies_at_the_top_is_named():
    front = "\n".join(
        (ROOT / name).read_text() for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
    )
    top = {name.split("/")[0] for name in FILES} - {".gitignore"}
    assert sorted(name for name in top if name not in front) == []


def test_every_workflow_calls_the_makefile():
    """What CI does, a developer can do: a job runs `make`, `.ci/run`, or only moves and publishes what others made."""
    workflows = [name for name in FILES if name.startswith(".github/workflows/")]
    assert workflows
    makes = [
        name for name in workflows if re.search(r"run: (make |bash \.ci/run)", (ROOT / name).read_text())
    ]
    assert set(workflows) - set(makes) == {".github/workflows/release.yml"}
    assert "uses: ./.github/workflows/wheels.yml" in (ROOT / ".github/workflows/release.yml").read_text()


def test_forms_for_issues_ask_for_doctor():
    forms = [name for name in FILES if re.fullmatch(r"\.github/ISSUE_TEMPLATE/(?!config).*\.yml", name)]
    assert len(forms) >= 3
    for form in forms:
        fields = (ROOT / form).read_text().split("  - type: ")
        assert any("label: ferrio doctor" in field and "required: true" in field for field in fields), form


def test_a_commit_that_a_document_shows_is_there():
    shown = re.findall(r"`git show ([0-9a-f]{7,40})", (ROOT / "CONTRIBUTING.md").read_text())
    assert shown
    if git("rev-parse", "--is-shallow-repository") == ["true"]:
        pytest.skip("a shallow clone has no history")
    assert [commit for commit in shown if git("merge-base", "--is-ancestor", commit, "HEAD") is None] == []
