#!/usr/bin/env python3
"""Opens wheels and holds them to what packages/README.md promises; `make check-wheels` runs it.

    check_wheel.py WHEEL...

Prints a line per wheel, or what is wrong with it. It needs readelf (binutils). The licences and the SBOM are compared
with packages/licences, the symbols with what the file's name says of glibc. auditwheel, twine and check-wheel-contents
look at the same wheels by their own rules.
"""

import base64
import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

from pgo.fits import LEAST, fitting

ROOT = Path(__file__).resolve().parent.parent

MOST_BYTES = 4_000_000
# Parts of glibc that every Linux has, and the compiler's unwinder.
LIBRARIES = re.compile(r"lib(c|m|dl|pthread|rt|util|gcc_s)\.so\.\d|ld-linux-.*\.so\.\d")
WHEEL = re.compile(
    r"ferrio-(?P<version>[^-]+)-cp3(?P<minor>\d+)-cp3(?P=minor)-manylinux_2_(?P<glibc>\d+)_(?P<machine>\w+)\.whl"
)
RUST_FILES = {"crates.txt", "rust-standard-library.txt"}


def read(*arguments: object) -> str:
    command = ["readelf", "--wide", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def crates() -> set[str]:
    """`name version` of each crate whose licence packages/licences/crates.txt has."""
    text = (ROOT / "packages" / "licences" / "crates.txt").read_text().split("=" * 100)[0]
    return set(re.findall(r"^([a-z][\w-]* \d[^ \n]*)$", text, re.MULTILINE))


def faults_of_files(files: dict[str, bytes]) -> Iterator[str]:
    """RECORD names every file with its checksum."""
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    rows = {row[0]: row[1] for row in csv.reader(io.StringIO(files[record].decode()))}
    for name in files.keys() ^ rows.keys():
        yield f"only in {'RECORD' if name in rows else 'the wheel, and not in RECORD'}: {name}"
    for name in files.keys() & rows.keys() - {record}:
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        if rows[name] != f"sha256={digest}":
            yield f"RECORD has another checksum of {name}"
    if not any(name == "ferrio/py.typed" for name in files):
        yield "no ferrio/py.typed"


def faults_of_metadata(files: dict[str, bytes], version: str) -> Iterator[str]:
    """Licences as PEP 639 has them, a bill of materials as PEP 770 has it, and both name the same crates."""
    info = f"ferrio-{version}.dist-info"
    metadata = Parser().parsestr(files[f"{info}/METADATA"].decode())
    if metadata["Requires-Python"] != ">=3.11":
        yield f"Requires-Python is {metadata['Requires-Python']}"
    if metadata["License-Expression"] != "MIT OR Apache-2.0":
        yield f"License-Expression is {metadata['License-Expression']}"
    named = metadata.get_all("License-File", [])
    for wanted in {"LICENSE-MIT", "LICENSE-APACHE", *(f"packages/licences/{name}" for name in RUST_FILES)}:
        if wanted not in named:
            yield f"no License-File {wanted}"
    for name in named:
        inside = files.get(f"{info}/licenses/{name}")
        if inside is None or inside != (ROOT / name).read_bytes():
            yield f"licenses/{name} is {'missing' if inside is None else 'another file than in the checkout'}"

    boms = [name for name in files if name.startswith(f"{info}/sboms/")]
    if len(boms) != 1:
        yield f"sboms/ has {boms}"
        return
    bom = json.loads(files[boms[0]])
    if bom.get("bomFormat") != "CycloneDX" or not bom.get("specVersion"):
        yield f"{boms[0]} is no CycloneDX"
    listed = {f"{each['name']} {each['version']}" for each in bom.get("components", [])}
    if bom.get("metadata", {}).get("component", {}).get("version") != version:
        yield f"{boms[0]} is not of ferrio {version}"
    for missing in sorted(crates() - listed):
        yield f"{boms[0]} does not list {missing}, whose licence the wheel has"


def faults_of_extension(extension: Path, glibc: int) -> Iterator[str]:
    """What the extension asks for is in the glibc of the wheel's name, and it exports what imports it."""
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", read("--dynamic", extension)):
        if not LIBRARIES.fullmatch(name):
            yield f"needs {name}"
    # `__tls_get_addr` is the loader's, and has no version where the linker was not shown the loader.
    exported = set()
    for line in read("--dyn-syms", extension).splitlines():
        found = re.match(r"\s*\d+: \w+\s+\w+\s+\w+\s+(\w+)\s+\w+\s+(\w+)\s+([^\s@]+)@*(\S*)", line)
        if not found:
            continue
        binding, where, name, version = found.groups()
        if where != "UND":
            exported.add(name)
        elif version.startswith("GLIBC_"):
            digits = re.fullmatch(r"GLIBC_2\.(\d+)(\.\d+)?", version)
            if digits is None or int(digits[1]) > glibc:
                yield f"{name} is of {version}"
        elif not version and binding != "WEAK" and not re.match(r"_?Py|__tls_get_addr$", name):
            yield f"{name} is neither of glibc nor of Python"
    # The second is how 3.15 would rather be told of a module (PEP 793).
    if exported - {"PyModExport__ferrio"} != {"PyInit__ferrio"}:
        yield f"exports {sorted(exported)}"
    segments = read("--segments", extension)
    if re.search(r"GNU_STACK.*RWE", segments) or "GNU_RELRO" not in segments:
        yield "its stack is executable, or its tables stay writable"


def build_id(file: Path) -> str:
    return "".join(re.findall(r"Build ID: (\w+)", read("--notes", file)))


def faults_of_symbols(extension: Path, symbols: Path) -> Iterator[str]:
    """Line numbers are in the file beside the wheel, which debuggers find by its name and checksum or its build ID."""
    if ".debug_line" in read("--sections", extension):
        yield "line numbers are still in it"
    if not symbols.exists():
        yield f"{symbols.name} is not beside the wheel"
        return
    link = read("--hex-dump=.gnu_debuglink", extension)
    data = bytes.fromhex(
        "".join("".join(re.findall(r"^\s+0x\w+ ((?:\w{8} ?|\w+ ){1,4})", link, re.M)).split())
    )
    if data.split(b"\0")[0].decode() != symbols.name:
        yield f"its debug link is {data!r}"
    elif int.from_bytes(data[-4:], "little") != zlib.crc32(symbols.read_bytes()):
        yield f"its debug link has another checksum than {symbols.name}"
    if not build_id(extension) or build_id(extension) != build_id(symbols):
        yield f"its build ID is not that of {symbols.name}"
    if ".debug_line" not in read("--sections", symbols):
        yield f"{symbols.name} has no line numbers"


def faults(wheel: Path, folder: Path) -> Iterator[str]:
    name = WHEEL.fullmatch(wheel.name)
    if name is None:
        yield "its name is not ferrio-VERSION-cp3NN-cp3NN-manylinux_2_NN_MACHINE.whl"
        return
    if wheel.stat().st_size >= MOST_BYTES:
        yield f"{wheel.stat().st_size} bytes: {MOST_BYTES} are too many"
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    yield from faults_of_files(files)
    yield from faults_of_metadata(files, name["version"])
    wanted = f"ferrio/_ferrio.cpython-3{name['minor']}-{name['machine']}-linux-gnu.so"
    if [file for file in files if file.endswith(".so")] != [wanted]:
        yield f"its extension is not {wanted} alone"
        return
    extension = folder / Path(wanted).name
    extension.write_bytes(files[wanted])
    yield from faults_of_extension(extension, int(name["glibc"]))
    yield from faults_of_symbols(extension, wheel.parent / f"{extension.name}.debug")
    share = fitting(extension, ROOT / "pgo" / "ferrio.profdata")
    if share < LEAST:
        yield f"built without the profile: {share:.0%} of the record's functions are in it under their symbols"


def main(wheels: list[str]) -> int:
    if not wheels:
        print("no wheels to check: make wheel", file=sys.stderr)
        return 2
    status = 0
    for wheel in map(Path, wheels):
        with tempfile.TemporaryDirectory() as folder:
            found = list(faults(wheel.resolve(), Path(folder)))
        for fault in found:
            print(f"{wheel.name}: {fault}", file=sys.stderr)
            status = 1
        if not found:
            print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, as it should be")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
