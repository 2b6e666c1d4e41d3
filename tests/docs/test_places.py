"""Every file and folder that the documents name is there, and a newcomer finds each one that he meets explained."""

import re
from fnmatch import fnmatch

import pytest
from test_documents import PAGES, ROOT, shown

# Where a path in a page may begin.
BASES = [ROOT, ROOT / "crates", ROOT / "crates/ferrio/src", ROOT / "tests", ROOT / "python/ferrio"]
# Paths that are made, not kept, by what makes them.
MADE = {
    ".work/": "make",
    ".venv-": "make",
    "target/": "make",
    "bench/results/*": "make bench",
    "bench/results/kept": "make figures",
    "bench/results/out": "bench/run.py",
}
READMES = [
    path
    for path in ROOT.glob("**/README.md")
    if not {"target", ".work"} & set(path.parts) and not any(part.startswith(".venv") for part in path.parts)
]
ALL_PAGES = sorted({*PAGES, *READMES})


def paths_in(page):
    """What a page names in backquotes, and looks like a path of the repository."""
    for name in re.findall(r"`([\w.-]+(?:/[\w.*-]*)+)`", page.read_text()):
        if not name.startswith(tuple(MADE)) and "NN" not in name:
            yield name


def exists(name, page):
    return any(list(base.glob(name.rstrip("/"))) for base in [*BASES, page.parent])


def known(name):
    """Whether its first part is a folder somewhere here; other paths are the reader's, or of another project."""
    first = name.split("/")[0]
    return any((base / first).exists() for base in BASES)


@pytest.mark.parametrize("page", ALL_PAGES, ids=shown)
def test_what_a_page_names_is_there(page):
    assert [name for name in paths_in(page) if known(name) and not exists(name, page)] == []


def test_the_pages_name_paths():
    assert sum(known(name) for page in ALL_PAGES for name in paths_in(page)) > 100


# What is at the top of a clone and speaks for itself.
PLAIN = {".git", ".gitignore", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.lock", "README.md"}


def kept(folder):
    """Names in a folder that are in the repository: neither made by the build nor by tools."""
    made = ("__pycache__", "target", ".work", ".hypothesis")
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".venv") or path.name.endswith(("_cache", ".so", ".pyc"))
        if path.name not in made and not hidden:
            yield path


@pytest.mark.parametrize("folder", ["", "crates", "docs"])
def test_what_a_newcomer_meets_is_explained(folder):
    text = (ROOT / "ARCHITECTURE.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    missing = []
    for path in kept(ROOT / folder):
        name = f"{folder}/{path.name}" if folder else path.name
        if not (name in PLAIN or re.search(rf"[`(\s/]{re.escape(path.name)}\b", text)):
            missing.append(name)
    assert missing == []


def test_every_file_of_the_benchmark_and_the_profile_is_explained():
    """The folders that have a README of their own, but for tests, whose test_readme.py asks the same."""
    for folder in ("bench", "pgo"):
        text = (ROOT / folder / "README.md").read_text()
        plain = {"README.md", "__init__.py"}
        patterns = [name.rstrip("/") for name in re.findall(r"`([\w.*/-]+)`", text)]
        present = [path.name for path in kept(ROOT / folder) if path.name not in plain]
        assert [n for n in present if not any(fnmatch(n, pattern) for pattern in patterns)] == [], folder
