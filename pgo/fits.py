"""Whether an extension was built with the record (`ferrio.profdata`): where not, `make build` warns and a test fails.

    python pgo/fits.py EXTENSION

The record knows functions by their symbols, and each symbol ends in a hash that covers what cargo passes as
`-C metadata`: the profile's settings, even `strip`, are in it, the flags in RUSTFLAGS are not. So a build with another
profile than the one that was recorded has other symbols. The compiler then uses nothing of the record and says
nothing, and a task switch takes a fifth more instructions.

Both files are searched for symbols as bytes: it needs no tool, and is all that is asked of their formats.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SYMBOL = re.compile(rb"(_ZN[0-9A-Za-z_.$]+?17h)([0-9a-f]{16})E")
"""Of a function in Rust: its path, then the hash."""

LEAST = 0.5
"""The share of the functions in both that has to have the same hash. With the record used it is over 0.98 (a function
that has been given another signature since has another hash), without it 0."""


def hashes(file: Path) -> dict[bytes, set[bytes]]:
    """The hashes that a file has for each path; functions with type parameters have several."""
    found: dict[bytes, set[bytes]] = {}
    for path, code in SYMBOL.findall(file.read_bytes()):
        found.setdefault(path, set()).add(code)
    return found


def fitting(extension: Path, record: Path) -> float:
    """The share of the functions in both files that are the same to the compiler. Raises ValueError without any."""
    built, recorded = hashes(extension), hashes(record)
    both = built.keys() & recorded.keys()
    if not both:
        raise ValueError(f"{extension.name} and {record.name} have no function in common")
    return sum(not built[path].isdisjoint(recorded[path]) for path in both) / len(both)


def main(extension: Path, record: Path = HERE / "ferrio.profdata", rustc: Path = HERE / "rustc") -> int:
    """Check one extension; returns the exit status."""
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, check=True, text=True).stdout
    if compiler.strip() != rustc.read_text().strip():
        # `with-profile` has said so, and has not used it.
        return 0
    share = fitting(extension, record)
    if share >= LEAST:
        return 0
    print(
        f"pgo/{record.name} was not used: {share:.0%} of its functions are in {extension.name} under their symbols.\n"
        "The build has other settings of cargo's release profile than `make profile` (CARGO_PROFILE_RELEASE_*, "
        "Cargo.toml);\nflags belong in RUSTFLAGS. If the profile was meant to change: make profile",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
