#!/usr/bin/env python3
"""Prints what CHANGELOG.md says of a version, for the page of its release; the release workflow runs it.

    release_notes.py vX.Y.Z

Fails where the tag is not the version of Cargo.toml, or CHANGELOG.md has no section `## [X.Y.Z] - YYYY-MM-DD` of it: a
release that nobody has written down is not made.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(tag: str, root: Path = ROOT) -> str:
    """The section of the tag's version. Raises ValueError with the reason if the release is not ready."""
    version = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, Cargo.toml has version {version}")
    log = (root / "CHANGELOG.md").read_text()
    found = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|\Z)",
        log,
        re.MULTILINE | re.DOTALL,
    )
    if found is None or not found[1].strip():
        raise ValueError(f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD` with something in it")
    return found[1].strip()


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(notes(arguments[0]))
    except ValueError as reason:
        print(f"not to be released: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
