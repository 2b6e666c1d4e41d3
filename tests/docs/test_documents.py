"""The documents: every program in them runs and prints what the page says, and what they name is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PROGRAMS = DOCS / "programs"
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
    ]
)
SECONDS = 60

# What programs write to stderr, where their page says so.
LOGGED = {"cook_blocking.py": r"Executing <Task finished name='rude' .* took \d\.\d+ seconds\n"}


def shown(path):
    return str(path.relative_to(ROOT))


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "ferrio", "run", *arguments],
        cwd=PROGRAMS,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.name)
def test_a_program_prints_what_its_page_says(program):
    done = run(program.name)
    assert done.returncode == 0, done.stderr
    expected = program.with_suffix(".out")
    if expected.exists():
        assert done.stdout == expected.read_text()
    if program.name in LOGGED:
        assert re.fullmatch(LOGGED[program.name], done.stderr)


def test_a_slow_guest_has_to_leave_the_chat():
    """Its page says so; nobody else is troubled, and nothing is logged."""
    done = run(
        "-c",
        """
import asyncio, cook_chat

async def main():
    room = cook_chat.Room()
    server = await asyncio.start_server(room.enter, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1)
    writer.write(b"slow\\n")
    await reader.read(1)
    assert list(room.guests) == ["slow"]
    while room.guests:
        room.say("x" * 10_000)
        await asyncio.sleep(0)
    writer.close()
    server.close()

asyncio.run(main())
""",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_http_service_answers():
    """It is an application without a server; this is what a server does with it."""
    done = run(
        "-c",
        "import asyncio, cook_http\n"
        "sent = []\n"
        "async def send(message): sent.append(message)\n"
        "asyncio.run(cook_http.app({'type': 'http', 'path': '/'}, None, send))\n"
        "print(sent[0]['status'], sent[1]['body'].decode())",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("200 ")


def blocks(page):
    """The Python in a page that is not a program of its own: `(line, heading of the block, code)`."""
    text = page.read_text()
    for match in re.finditer(r"^```python([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if "--8<--" not in match[2]:
            yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


INLINE = [(page, *block) for page in PAGES for block in blocks(page)]


@pytest.mark.parametrize(
    ("page", "line", "title", "code"), INLINE, ids=[f"{shown(b[0])}:{b[1]}" for b in INLINE]
)
def test_python_within_a_page_runs(page, line, title, code, tmp_path):
    if "not run" in title:
        compile(code, shown(page), "exec")
        return
    program = tmp_path / "block.py"
    program.write_text(code)
    done = run(str(program))
    assert done.returncode == 0, f"{shown(page)}:{line}\n{done.stderr}"


def test_every_program_is_in_a_page():
    text = "\n".join(page.read_text() for page in PAGES)
    assert [
        p.name for p in PROGRAMS.iterdir() if p.suffix in (".py", ".out") and f'"{p.name}"' not in text
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_what_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        # Made when the documents are built (docs/_build/reference.py).
        if page.is_relative_to(DOCS) and target.removeprefix("../") in (
            "differences.md",
            "reference/index.md",
        ):
            continue
        assert (page.parent / target).exists(), f"{shown(page)} links to {target}"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = {str(page.relative_to(DOCS)) for page in PAGES if page.is_relative_to(DOCS)}
    assert [page for page in sorted(pages) if page not in navigation] == []
