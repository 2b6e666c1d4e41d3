"""Every block of the documents that is no Python runs, or shows what a program prints, or is here with a reason."""

import os
import re
import subprocess
import sys

import pytest
from test_documents import PAGES, PROGRAMS, ROOT, SECONDS, shown

FERRIO = [sys.executable, "-m", "ferrio"]

# Commands that a test cannot run, as regular expressions, and why.
NOT_RUN = {
    r"git clone .*": "needs the repository's address",
    r"make( [\w-]+| \w+=\S+)*( \w+=\".*\")?( [\w-]+)?": "takes minutes; whether the Makefile has it is tested below",
    r"\. \.venv-3\.\d+/bin/activate": "is for a shell; the tests run in that environment",
    r"ferrio run app\.py": "stands for the reader's own program",
    r"ferrio run -m uvicorn \w+:app --loop asyncio.*": "does not end by itself; tests/ecosystem runs uvicorn so",
    r"ferrio run -m distributed\.cli\.\w+ .*": "wants a cluster",
    r"ferrio ps \d+": "wants another process; tests/monitor has them",
}
# Blocks in other languages, and why nothing runs them.
OTHER_LANGUAGES = {"nginx": "a part of a configuration; tests/ecosystem runs nginx in front of servers"}


def fences(page):
    """The blocks of a page: language and title, contents."""
    return re.findall(r"^```([^\n]+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(block):
    """The commands of a block, each with the output that is shown below it; without prompts all lines are commands."""
    lines = block.splitlines()
    prompts = any(line.startswith("$ ") for line in lines)
    found = []
    for line in lines:
        if not prompts or line.startswith("$ "):
            found.append((re.sub(r"\s{2,}#.*", "", line.removeprefix("$ ")).strip(), []))
        else:
            found[-1][1].append(line)
    return [one for one in found if one[0]]


CASES = [
    pytest.param(command, output, id=f"{shown(page)}: {command}")
    for page in PAGES
    for language, block in fences(page)
    if language.split()[0] in ("sh", "console")
    for line, output in commands(block)
    for command in line.split(" && ")
]


def runs_nowhere(command):
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, command)), None)


@pytest.mark.parametrize(("command", "output"), CASES)
def test_a_command_prints_what_its_page_says(command, output, tmp_path):
    if runs_nowhere(command) or command.startswith("cd "):
        return
    program, *arguments = command.split()
    assert program == "ferrio", f"{command}: run it here, or say in NOT_RUN why not"
    done = subprocess.run(
        [*FERRIO, *arguments],
        cwd=PROGRAMS if (PROGRAMS / arguments[-1]).exists() else ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    if output:
        assert done.stdout.splitlines() == output


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_every_reason_is_for_a_command(pattern):
    assert any(re.fullmatch(pattern, case.values[0]) for case in CASES)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_block_is_of_a_kind_that_is_tested(page):
    for head, block in fences(page):
        language, _, title = head.partition(" ")
        if language == "text" and title == 'title="output"':
            assert re.fullmatch(r'--8<-- "\w+\.out"\n', block), block
        elif language == "text":
            assert title == 'title="ferrio --help"', head
        else:
            assert language in ("python", "sh", "console", *OTHER_LANGUAGES), head


def test_the_usage_is_what_ferrio_prints():
    (block,) = [text for page in PAGES for head, text in fences(page) if 'title="ferrio --help"' in head]
    done = subprocess.run([*FERRIO, "--help"], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert block == done.stdout


def test_every_command_of_make_is_there():
    targets = set(re.findall(r"^([a-z][\w.-]*):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text()
        named = re.findall(r"`make ((?:[A-Z]+=\S+ )*)([a-z][\w.-]*)`", text)
        named += [
            ("", word)
            for case in CASES
            if case.id.startswith(shown(page)) and case.values[0].startswith("make ")
            for word in re.sub(r'"[^"]*"', "", case.values[0]).split()[1:]
            if "=" not in word
        ]
        assert [target for _, target in named if target not in targets] == [], shown(page)


def test_every_setting_is_documented():
    """The variables of the environment that ferrio looks at, as `ferrio doctor` knows them, and no others."""
    from ferrio.cli.doctor import SETTINGS

    text = (ROOT / "docs" / "guide" / "command-line.md").read_text()
    assert set(re.findall(r"^\| `(FERRIO_\w+)`", text, re.MULTILINE)) == SETTINGS
    in_sources = set()
    for source in (*(ROOT / "crates").rglob("*.rs"), *(ROOT / "python").rglob("*.py")):
        in_sources |= set(re.findall(r'"(FERRIO_[A-Z_]+)"', source.read_text()))
    # The last two are for the tests of the crates and of how a process ends.
    assert in_sources - {"FERRIO_OBJECT_TEST_CHILD", "FERRIO_EXIT_RUNS"} == SETTINGS
