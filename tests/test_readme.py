"""tests/README.md says what each folder here is for."""

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_every_folder_is_named():
    folders = {path.parent.name for path in TESTS.glob("*/*.py")}
    rows = (TESTS / "README.md").read_text().splitlines()
    named = {
        name for row in rows if row.startswith("| `") for name in re.findall(r"`(\w+)/`", row.split("|")[1])
    }
    assert folders == named
