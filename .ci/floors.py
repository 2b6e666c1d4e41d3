"""Check that no file of crates/ferrio imports from a floor above its own, and that no circle of imports grows.

    python3 .ci/floors.py              what `make lint` runs
    python3 .ci/floors.py --figures    files, circles, upward imports; fails on nothing

The floors are a table in ARCHITECTURE.md between `<!-- floors -->` and `<!-- /floors -->`, lowest floor first. Each row
has the floor's name and the files and folders on it, in backquotes; the longest name that fits a file counts. Files of
one floor may import each other. A second table, between `<!-- floors: exceptions -->` and `<!-- /floors -->`, names the
imports that run up all the same: the file, the file whose item it imports, and the reason. An exception that nothing
needs is an error, as a file without a floor is.

An import is a `use`, or a path that is written where it is needed (`crate::task::registry::current`). It counts for the
file that defines the item: a re-export (`pub(crate) use` in a `mod.rs`) is followed. Inherent methods stand in any file
of a crate and are called without an import, so they are not seen here; that is what lets `base_events/` hold the
methods of a type that stands below it.

A small reader of Rust, made for rustfmt's output: comments and strings are blanked, then `mod`, `use` and paths are
looked for. It knows no macros and no `#[path]`. Standard library only.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = "crates/ferrio/src"
PAGE = "ARCHITECTURE.md"
# The kernel that the ready queue's own enums name, and a little more.
LARGEST_CIRCLE = 22

# What is no code: comments, strings (raw ones too) and characters. A lifetime ('a) is not a character.
NOT_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'""", re.DOTALL
)
RESTRICTION = re.compile(r"(?<=\bpub)\((?:crate|self|super|in\s[\w:\s]+)\)")
VISIBILITY = r"(?:pub\s+)?"
MODULE = re.compile(rf"^{VISIBILITY}mod\s+(\w+)\s*;", re.MULTILINE)
USE = re.compile(rf"^[ \t]*{VISIBILITY}use\s+([^;]+);", re.MULTILINE)
RE_EXPORT = re.compile(r"^[ \t]*pub\b")
INLINE_MODULE = re.compile(rf"\b{VISIBILITY}mod\s+(\w+)\s*\{{")
PATH = re.compile(r"(?<![\w:])(?:\w+::)+\w+")
TOKEN = re.compile(r"\w+|::|[{},*]")

Place = tuple[str, ...]


class Unreadable(Exception):
    """The sources or the page are not as they have to be."""


@dataclass(frozen=True)
class Leaf:
    """One name that a `use` brings in."""

    path: Place
    name: str  # what it is called here; "*" for all of a module
    offset: int


@dataclass
class Module:
    """One file."""

    place: Place
    file: str  # from the root of the sources
    code: str  # blanked outside of code, line for line
    children: set[str]
    leaves: list[Leaf]
    rest: str = ""  # the code without its `use` statements
    re_exports: set[int] = field(default_factory=set)  # the offsets of leaves that are handed on only

    def line(self, offset: int) -> int:
        return self.code.count("\n", 0, offset) + 1


@dataclass(frozen=True, order=True)
class Import:
    source: str
    line: int
    target: str
    path: str


def blank(text: str) -> str:
    """The text with spaces for what is no code, and for the `(crate)` of a `pub(crate)`; lines stay where they are."""
    return RESTRICTION.sub(spaces, NOT_CODE.sub(spaces, text))


def spaces(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def leaves(text: str, start: int) -> Iterator[Leaf]:
    """The names in one `use`, whose tree of groups is `text`."""
    tokens = [(found[0], start + found.start()) for found in TOKEN.finditer(text)]
    at = 0

    def tree(prefix: Place) -> Iterator[Leaf]:
        nonlocal at
        path, offset = prefix, tokens[at][1]
        while at < len(tokens):
            token, offset_here = tokens[at]
            if token == "{":
                at += 1
                while tokens[at][0] != "}":
                    yield from tree(path)
                    if tokens[at][0] == ",":
                        at += 1
                at += 1
                return
            if token in (",", "}"):
                break
            at += 1
            if token == "as":
                yield Leaf(path, tokens[at][0], offset)
                at += 1
                return
            if token == "*":
                yield Leaf(path, "*", offset_here)
                return
            if token == "self" and path:
                # `{self, …}`: the module itself.
                if at < len(tokens) and tokens[at][0] == "as":
                    continue
                break
            if token != "::":
                path, offset = (*path, token), offset_here
        yield Leaf(path, path[-1], offset)

    yield from tree(())


class Crate:
    """The modules of a crate, and where each path leads."""

    def __init__(self, sources: Path) -> None:
        self.modules: dict[Place, Module] = {}
        self._read(sources, (), sources / "lib.rs")

    def _read(self, root: Path, place: Place, file: Path) -> None:
        code = blank(file.read_text())
        if inline := INLINE_MODULE.search(code):
            code = self._without_inline(file, code, inline.start())
        module = Module(place, str(file.relative_to(root)), code, set(), [])
        for found in USE.finditer(code):
            names = list(leaves(found[1], found.start(1)))
            module.leaves += names
            if RE_EXPORT.match(found[0]):
                module.re_exports |= {leaf.offset for leaf in names}
        module.rest = USE.sub(spaces, code)
        self.modules[place] = module
        folder = file.parent if file.name in ("lib.rs", "mod.rs") else file.with_suffix("")
        for name in MODULE.findall(code):
            module.children.add(name)
            candidates = [folder / f"{name}.rs", folder / name / "mod.rs"]
            child = next((path for path in candidates if path.exists()), None)
            if child is None:
                raise Unreadable(f"{module.file}: no file for `mod {name};`")
            self._read(root, (*place, name), child)

    def _without_inline(self, file: Path, code: str, start: int) -> str:
        """The code without `mod name { … }`, in which `super` means this file: nothing in there may import."""
        while True:
            depth, at = 0, code.index("{", start)
            end = at
            for end in range(at, len(code)):
                depth += {"{": 1, "}": -1}.get(code[end], 0)
                if depth == 0:
                    break
            inside = code[at:end]
            if re.search(r"\b(use|crate|super)\b", inside):
                line = code.count("\n", 0, at) + 1
                raise Unreadable(f"{file}:{line}: a module inside a file may not import; give it a file")
            code = code[:start] + re.sub(r"[^\n]", " ", code[start : end + 1]) + code[end + 1 :]
            found = INLINE_MODULE.search(code)
            if found is None:
                return code
            start = found.start()

    def resolve(
        self, module: Module, path: Place, seen: frozenset[tuple[Place, Place]] = frozenset()
    ) -> Place | None:
        """The module that defines what `path` names in `module`, or that it is. None if it is not of this crate."""
        if (module.place, path) in seen:
            return None
        seen |= {(module.place, path)}
        first, rest = path[0], path[1:]
        if first == "crate":
            return self._within((), rest, seen)
        if first == "self":
            return self._within(module.place, rest, seen)
        if first == "super":
            place = module.place[:-1]
            while rest and rest[0] == "super":
                place, rest = place[:-1], rest[1:]
            return self._within(place, rest, seen)
        found = self._name(module, first, seen)
        if found is None:
            return None
        return self._within(found, rest, seen) if self._is_module(module, first, found) else found

    def _within(self, place: Place, rest: Place, seen: frozenset[tuple[Place, Place]]) -> Place | None:
        if not rest:
            return place
        module = self.modules[place]
        if rest[0] in module.children:
            return self._within((*place, rest[0]), rest[1:], seen)
        for leaf in module.leaves:
            if leaf.name == rest[0]:
                found = self.resolve(module, (*leaf.path, *rest[1:]), seen)
                if found is not None:
                    return found
        for leaf in module.leaves:
            if leaf.name == "*":
                target = self.resolve(module, leaf.path, seen)
                if target is not None and self._defines(target, rest[0], seen):
                    return self._within(target, rest, seen)
        return place

    def _defines(self, place: Place, name: str, seen: frozenset[tuple[Place, Place]]) -> bool:
        module = self.modules[place]
        if name in module.children or any(leaf.name == name for leaf in module.leaves):
            return True
        return (
            re.search(rf"\b(?:fn|struct|enum|trait|const|static|type|union|mod)\s+{name}\b", module.code)
            is not None
        )

    def _name(self, module: Module, name: str, seen: frozenset[tuple[Place, Place]]) -> Place | None:
        """What a name alone leads to in a module: a child or an import."""
        if name in module.children:
            return (*module.place, name)
        for leaf in module.leaves:
            if leaf.name == name and leaf.path != (name,):
                return self.resolve(module, leaf.path, seen)
        return None

    def _is_module(self, module: Module, name: str, found: Place) -> bool:
        """Whether the name is that of a module, not of an item (whose associated names follow)."""
        if name in module.children:
            return True
        path = next(leaf.path for leaf in module.leaves if leaf.name == name)
        return found[-1:] == path[-1:]

    def imports(self) -> list[Import]:
        """What each file takes from which other one."""
        found: set[Import] = set()
        for module in self.modules.values():
            taken: list[tuple[Place, int]] = []
            for leaf in module.leaves:
                # Only handed on: it is counted where it is used.
                if leaf.offset in module.re_exports and not re.search(
                    rf"(?<![.\w]){leaf.name}\b", module.rest
                ):
                    continue
                target = self.resolve(module, leaf.path)
                # A module is imported for what is in it, and that is a path of its own further down.
                if target is not None and not (leaf.name != "*" and target[-1:] == leaf.path[-1:]):
                    taken.append((leaf.path, leaf.offset))
            for path in PATH.finditer(module.rest):
                taken.append((tuple(path[0].split("::")), path.start()))
            for names, offset in taken:
                target = self.resolve(module, names)
                if target is not None and target != module.place:
                    file = self.modules[target].file
                    found.add(Import(module.file, module.line(offset), file, "::".join(names)))
        return sorted(found)


def circles(imports: list[Import]) -> list[list[str]]:
    """The files that import each other, in one way or another; the largest circle first."""
    graph: dict[str, set[str]] = {}
    for one in imports:
        graph.setdefault(one.source, set()).add(one.target)
        graph.setdefault(one.target, set())
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    result: list[list[str]] = []

    def visit(file: str) -> None:
        number[file] = low[file] = len(number)
        stack.append(file)
        for other in sorted(graph[file]):
            if other not in number:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], number[other])
        if low[file] == number[file]:
            circle = [stack.pop()]
            while circle[-1] != file:
                circle.append(stack.pop())
            if len(circle) > 1:
                result.append(sorted(circle))

    for file in sorted(graph):
        if file not in number:
            visit(file)
    return sorted(result, key=len, reverse=True)


def table(page: str, mark: str) -> list[list[str]]:
    """The cells of a marked table's rows, without its head."""
    found = re.search(rf"<!-- {mark} -->\n(.*?)<!-- /floors -->", page, re.DOTALL)
    if found is None:
        return []
    rows = [line.strip().strip("|").split("|") for line in found[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@dataclass
class Floors:
    names: list[str]
    rooms: dict[str, int]  # a file or folder (with its slash), and the number of its floor
    exceptions: set[tuple[str, str]]

    @classmethod
    def read(cls, page: str) -> Floors:
        floors = cls([], {}, set())
        for row in table(page, "floors"):
            for room in re.findall(r"`([^`]+)`", row[1]):
                if room in floors.rooms:
                    raise Unreadable(f"{PAGE}: `{room}` is on two floors")
                floors.rooms[room] = len(floors.names)
            floors.names.append(row[0])
        if not floors.names:
            raise Unreadable(f"{PAGE}: no table of floors")
        for row in table(page, "floors: exceptions"):
            files = re.findall(r"`([^`]+)`", " ".join(row[:2]))
            if len(files) != 2 or len(row) != 3 or not row[2]:
                raise Unreadable(f"{PAGE}: an exception names two files and a reason: {' | '.join(row)}")
            floors.exceptions.add((files[0], files[1]))
        return floors

    def of(self, file: str) -> int | None:
        """The floor of a file: that of the longest name that fits."""
        fits = [room for room in self.rooms if room == file or (room.endswith("/") and file.startswith(room))]
        return self.rooms[max(fits, key=len)] if fits else None

    def upward(self, imports: list[Import]) -> list[Import]:
        """The imports that run up, named exceptions among them."""
        result = []
        for one in imports:
            source, target = self.of(one.source), self.of(one.target)
            if source is not None and target is not None and target > source:
                result.append(one)
        return result


def faults(floors: Floors, files: list[str], imports: list[Import], limit: int) -> list[str]:
    """What is wrong, a line each."""
    found = []
    for file in files:
        if floors.of(file) is None:
            found.append(f"{SOURCES}/{file}:1: has no floor in {PAGE}")
    for room in floors.rooms:
        if not any(file == room or (room.endswith("/") and file.startswith(room)) for file in files):
            found.append(f"{PAGE}: `{room}` has a floor and is not there")
    upward = floors.upward(imports)
    for one in upward:
        if (one.source, one.target) not in floors.exceptions:
            names = floors.names[floors.of(one.source) or 0], floors.names[floors.of(one.target) or 0]
            found.append(
                f"{SOURCES}/{one.source}:{one.line}: `{one.path}` is in {one.target}, "
                f"which is above ({names[0]} imports from {names[1]})"
            )
    for source, target in sorted(floors.exceptions - {(one.source, one.target) for one in upward}):
        found.append(f"{PAGE}: the exception `{source}` -> `{target}` is not needed")
    for circle in circles(imports):
        if len(circle) > limit:
            found.append(
                f"{len(circle)} files import each other in a circle, {limit} may: {', '.join(circle)}"
            )
    return found


def figures(floors: Floors, files: list[str], imports: list[Import]) -> Iterator[str]:
    yield f"{len(files)} files"
    for circle in circles(imports):
        yield f"circle of {len(circle)}: {', '.join(circle)}"
    pairs = sorted({(one.source, one.target) for one in floors.upward(imports)})
    named = sum(pair in floors.exceptions for pair in pairs)
    yield f"{len(pairs)} upward imports (from file to file), {named} of them named as exceptions"
    for source, target in pairs:
        yield f"  {source} -> {target}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--figures", action="store_true", help="print the figures instead, and fail on nothing"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    parser.add_argument("--limit", type=int, default=LARGEST_CIRCLE, help="files in the largest circle")
    options = parser.parse_args()
    try:
        crate = Crate(options.root / SOURCES)
        floors = Floors.read((options.root / PAGE).read_text())
    except Unreadable as err:
        print(err, file=sys.stderr)
        return 1
    files = sorted(module.file for module in crate.modules.values())
    imports = crate.imports()
    if options.figures:
        print("\n".join(figures(floors, files, imports)))
        return 0
    found = faults(floors, files, imports, options.limit)
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
