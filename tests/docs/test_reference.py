"""The reference has every public name, says something of each, and since when asyncio has it."""

import json
import re
from itertools import pairwise

import ferrio
import pytest
from built_pages import ROOT, differences, reference

API = ROOT / "tests" / "frontdoor" / "api"
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
# asyncio had it before it was in `asyncio.__all__`, where the files of the API look.
EARLIER = {"TaskGroup"}


@pytest.fixture(scope="module")
def pages():
    return reference.Reference(ferrio).pages()


def entries(pages):
    """Name -> the text of its entry, without the entries of its members."""
    found = {}
    for page, text in pages.items():
        if page != "index.md":
            for part in re.split(r"^#{2,3} ", text, flags=re.MULTILINE)[1:]:
                name = re.match(r"`([\w.]+)`", part)[1]
                assert name not in found, f"{name} is there twice"
                found[name] = part.partition("\n")[2].strip()
    return found


def test_every_public_name_has_an_entry(pages):
    named = {name.rsplit(".", 1)[-1] if name.startswith("subprocess.") else name for name in entries(pages)}
    assert [name for name in ferrio.__all__ if not name.startswith("_") and name not in named] == []


def test_every_entry_says_something(pages):
    """Beside its signature, and since when asyncio has it."""
    silent = []
    for name, text in entries(pages).items():
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        prose = re.sub(r"^(\*Since asyncio|A kind of|Its methods are) .*", "", prose, flags=re.MULTILINE)
        constant = re.search(r"^\w+ = '", text, re.MULTILINE)
        if not prose.strip() and not constant:
            silent.append(name)
    assert silent == []


def test_every_name_of_asyncio_says_since_when(pages):
    ours = {
        name
        for page in reference.NOT_ASYNCIO
        for name in re.findall(r"^## `([\w.]+)`", pages[f"{page}.md"], re.M)
    }
    told = {name for name, text in entries(pages).items() if re.search(r"[Ss]ince (asyncio )?3\.\d+", text)}
    same = {name for name, text in entries(pages).items() if text.startswith("The same as")}
    missing = [n for n in entries(pages) if "." not in n and n not in told | ours | same]
    assert missing == []


def test_links_between_entries_lead_somewhere(pages):
    there = {(page, anchor) for page, text in pages.items() for anchor in re.findall(r"\{#([\w.]+) ", text)}
    for page, text in pages.items():
        for where, anchor in re.findall(r"\]\((\w+\.md)?#([\w.]+)\)", text):
            assert (where or page, anchor) in there


def members(version):
    """What the asyncio of a Python has: names, and `Class.method`."""
    names = json.loads((API / f"asyncio-{version}.json").read_text())["names"]
    for name, value in names.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{member}" for member in value.get("members", ()))


@pytest.mark.parametrize(("before", "version"), list(pairwise(PYTHONS)))
def test_what_a_python_has_first_is_said_to_be_its(before, version):
    since = reference.since()
    earlier = set(members(before)) | EARLIER
    # Of a class that is new, the members are too.
    new = {name for name in members(version) if name.split(".")[0] in earlier or "." not in name} - earlier
    new = {name for name in new if not name.startswith("TaskGroup.") or before in PYTHONS[1:]}

    def said(name):
        owner, _, member = name.partition(".")
        cls = getattr(ferrio, owner, None)
        bases = [base.__name__ for base in cls.__mro__] if member and isinstance(cls, type) else []
        known = (since.get(f"{base}.{member}") for base in bases)
        return next((told for told in known if told), since.get(owner, reference.OLDEST))

    assert {name: said(name) for name in new if said(name) != version} == {}


@pytest.mark.parametrize("version", PYTHONS[1:])
def test_what_is_said_to_be_a_pythons_is_not_there_before(version):
    earlier = set(members(PYTHONS[PYTHONS.index(version) - 1]))
    said = {name for name, told in reference.since().items() if told == version}
    assert said & earlier == set()


def test_the_differences_have_every_note_of_the_traces():
    text = differences.page()
    notes = differences.of_traces()
    assert len(notes) > 10
    assert [note.what for note in notes if note.what not in text] == []
    # A reader of the page sees only the note: it has to be a sentence.
    assert [note.what for note in notes if not re.match(r"[A-Z`].*\.$", note.what)] == []


def test_the_status_has_the_recorded_scores():
    scores = json.loads((ROOT / "tests" / "conformance" / "scores.json").read_text())["passed"]
    text = (ROOT / "docs" / "status.md").read_text()
    assert (
        f"On 3.13, all {sum(scores['3.13'].values())} behavioural tests of the {len(scores['3.13'])} modules"
        in text
    )


def test_the_status_has_what_is_not_built():
    """A command or name that refuses to work is in the table of what is built, as not yet there."""
    from ferrio._not_yet import NOT_YET
    from ferrio.cli import NOT_BUILT

    text = (ROOT / "docs" / "status.md").read_text()
    missing = "\n".join(row for row in text.splitlines() if row.endswith("| not yet |"))
    assert set(re.findall(r"`ferrio (\w+)`", missing)) == set(NOT_BUILT)
    assert [name for name in NOT_YET if f"`{name}" not in missing] == []
