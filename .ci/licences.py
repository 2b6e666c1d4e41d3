#!/usr/bin/env python3
"""Writes down the licences of what is linked into the extension; `make licences` runs it, and `make lint` checks it.

    licences.py            write packages/licences/
    licences.py --check    only compare: exit status 1 if something there is no longer true

A wheel carries other people's code: the crates that ferrio is built from, and Rust's standard library. Their licences
ask that the notices go along, so each package has them (`license-files` in pyproject.toml; PEP 639).

- `crates.txt`: what cargo links into the extension on Linux. Macros and build scripts are not in it.
- `rust-standard-library.txt`: what Rust says of its library, in the toolchain's own COPYRIGHT-library.html. It is
  compared only where the compiler is the one of `pgo/rustc`, which wheels are built with.

Whole texts are printed once, at the end, because most are the same.
"""

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "packages" / "licences"
EXTENSION = "ferrio"
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
ELSEWHERE = (
    "dlmalloc",
    "fortanix-",
    "hermit-",
    "moto-",
    "r-efi",
    "unwinding",
    "vex-",
    "wasi",
    "windows",
    "wit-",
)
"""Of the standard library, what it has on other systems only, or none."""
NOTICE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


@dataclass
class Part:
    """Something that is linked in: its name and version, what it says of itself, and its files of licences."""

    name: str
    facts: list[str]
    texts: dict[str, str] = field(default_factory=dict)


def linked(platform: str) -> dict[str, Part]:
    """The crates of others in the extension, by name and version, as cargo resolves them for a platform."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={platform}"]
    told = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)
    packages = {package["id"]: package for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}

    def macros(package: str) -> bool:
        return any("proc-macro" in target["kind"] for target in packages[package]["targets"])

    waiting = [one["id"] for one in packages.values() if one["name"] == EXTENSION]
    seen = set(waiting)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in seen and not macros(dependency["pkg"]):
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])

    parts = {}
    for package in (packages[one] for one in seen):
        if package["source"] is None:
            continue  # the workspace's own
        files = sorted(Path(package["manifest_path"]).parent.iterdir())
        parts[f"{package['name']} {package['version']}"] = Part(
            f"{package['name']} {package['version']}",
            [f"License: {package['license']}", *(f"Author: {author}" for author in package["authors"])],
            {file.name: file.read_text() for file in files if file.is_file() and NOTICE.match(file.name)},
        )
    return parts


def crates() -> list[Part]:
    parts: dict[str, Part] = {}
    for platform in PLATFORMS:
        parts |= linked(platform)
    for part in parts.values():
        if not part.texts:
            sys.exit(f"{part.name} comes without the text of its licence")
    return [parts[name] for name in sorted(parts)]


def standard_library() -> list[Part] | None:
    """What the toolchain's own page says; None where it has none, as a minimal installation of Rust."""
    root = subprocess.run(["rustc", "--print=sysroot"], capture_output=True, check=True, text=True).stdout
    page = Path(root.strip(), "share", "doc", "rust", "COPYRIGHT-library.html")
    if not page.exists():
        return None
    own, others = page.read_text().split('<h2 id="out-of-tree-dependencies">', 1)
    own = own.split('<h2 id="short-version">', 1)[1]
    own = re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub(r"<[^>]*>", "", own))).strip()
    parts = [Part("The Rust Standard Library", own.splitlines())]
    for block in others.split("<h3>")[1:]:
        name, rest = block.split("</h3>", 1)
        name = html.unescape(name).removeprefix("📦").strip()
        if name.startswith(ELSEWHERE):
            continue
        facts = re.findall(r"<p><b>(Authors|License):</b>\s*(.*?)\s*</p>", rest, re.DOTALL)
        texts = re.findall(r"<summary><code>(.*?)</code></summary>\s*<pre>(.*?)</pre>", rest, re.DOTALL)
        parts.append(
            Part(
                name,
                [f"{label}: {html.unescape(value)}" for label, value in facts if value],
                {html.unescape(file): html.unescape(text) for file, text in texts},
            )
        )
    return parts


def written(heading: str, parts: Iterable[Part]) -> str:
    """The parts, and below them each text once, with the names of those that it belongs to."""
    lines = [heading, ""]
    numbers: dict[str, int] = {}
    owners: dict[int, list[str]] = {}
    for part in parts:
        lines += ["", part.name, *(f"    {fact}" for fact in part.facts)]
        for file, text in part.texts.items():
            text = "\n".join(line.rstrip() for line in text.strip("\r\n").splitlines())
            number = numbers.setdefault(text, len(numbers) + 1)
            lines.append(f"    {file}: text {number} below")
            owners.setdefault(number, []).append(part.name)
    for text, number in numbers.items():
        lines += [
            "",
            "",
            "=" * 100,
            f"Text {number}, of {', '.join(dict.fromkeys(owners[number]))}",
            "",
            text,
        ]
    return "\n".join(lines) + "\n"


def wanted() -> dict[Path, str]:
    found = {
        FOLDER / "crates.txt": written(
            "Crates of others that are linked into ferrio's extension, and their licences. Where several are offered,\n"
            "ferrio takes them under MIT or Apache-2.0.",
            crates(),
        )
    }
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, check=True, text=True).stdout
    recorded = (ROOT / "pgo" / "rustc").read_text()
    library = standard_library() if compiler == recorded else None
    if library is not None:
        heading = (
            f"Rust's standard library, which is linked into ferrio's extension, as {compiler.strip()} has it."
        )
        found[FOLDER / "rust-standard-library.txt"] = written(heading, library)
    else:
        print(f"not looked at: Rust's standard library (this is not, with its documents, {recorded.strip()})")
    return found


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    status = 0
    for file, text in wanted().items():
        if not arguments:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            print(f"{file.relative_to(ROOT)} is not what is linked in: make licences", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
