#!/usr/bin/env python3
"""Names the dependencies in this repository's Cargo.toml files that no source file mentions; `make lint` runs it.

    unused_dependencies.py [ROOT]

A crate's dependencies are looked for in its own Rust files, those of `[build-dependencies]` in build.rs alone; each
dependency of `[workspace.dependencies]` has to be taken by a member. rustc's `unused_crate_dependencies` looks
at one target at a time, so that each integration test would have to use all that the others use.

A mention is the crate's name as a path or after `use`: enough to see what is not used, and no parser.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = ("dependencies", "dev-dependencies", "build-dependencies")


def manifest(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def mentioned(name: str, sources: list[str]) -> bool:
    crate = re.escape(name.replace("-", "_"))
    mention = re.compile(rf"(?<![\w:]){crate}(::|\s*;|\s+as\b)|\b(?:use|extern crate)\s+{crate}\b")
    return any(mention.search(text) for text in sources)


def unused_in(directory: Path, members: set[Path]) -> Iterator[tuple[str, str]]:
    """The unused dependencies of the package in a directory: pairs of the manifest's section and the crate's name."""
    package = manifest(directory / "Cargo.toml")
    files = {
        path: path.read_text() for path in directory.rglob("*.rs") if not inside(path, members - {directory})
    }
    build = directory / package.get("package", {}).get("build", "build.rs")
    sections = [(kind, package.get(kind, {})) for kind in KINDS]
    for target, tables in package.get("target", {}).items():
        sections += [(f"target.{target}.{kind}", tables.get(kind, {})) for kind in KINDS]
    for kind, dependencies in sections:
        sources = [
            text for path, text in files.items() if (path == build) == kind.endswith("build-dependencies")
        ]
        for name in dependencies:
            if not mentioned(name, sources):
                yield kind, name


def inside(path: Path, directories: set[Path]) -> bool:
    return "target" in path.parts or any(directory in path.parents for directory in directories)


def main(root: Path) -> int:
    top = manifest(root / "Cargo.toml")
    members = {root / member for member in top.get("workspace", {}).get("members", [])}
    # A package without a workspace of its own is its only member.
    packages = {*members, root} if "package" in top else members
    found, taken = [], set()
    for directory in sorted(packages):
        package = manifest(directory / "Cargo.toml")
        tables = [package, *package.get("target", {}).values()]
        taken |= {name for table in tables for kind in KINDS for name in table.get(kind, {})}
        found += [
            f"{directory / 'Cargo.toml'}: [{kind}] {name}" for kind, name in unused_in(directory, members)
        ]
    for name in top.get("workspace", {}).get("dependencies", {}):
        if name not in taken:
            found.append(f"{root / 'Cargo.toml'}: [workspace.dependencies] {name}")
    for line in found:
        print(f"not used: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:2]).resolve()))
