#!/usr/bin/env python3
"""Takes out of wheels what is not for their users: line numbers, and the folder of the build. `make wheel` runs it.

    finish_wheel.py WHEEL...

Of WHEEL's extension `NAME.so` a file `NAME.so.debug` is made. gdb finds that where it lies beside the installed
extension, or as `.build-id/XX/YYY.debug` below /usr/lib/debug. What stays in the wheel are the names of functions and
the tables that unwind the stack: a profiler shows every frame of the extension by its name, without a line number.

The bill of materials (`sboms/`) names the crates of this repository by the folder that they were built in, as
`path+file:///FOLDER/crates/ferrio`. The folder goes, so that two machines write the same.

Needs objcopy (binutils, which comes with the C compiler). Run a second time on the same wheel it changes nothing.
"""

import base64
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def split(extension: Path, symbols: Path) -> bool:
    """Move the debug sections of an extension into the file `symbols`; returns whether there were any."""
    headers = subprocess.run(["objdump", "-h", extension], capture_output=True, text=True, check=True).stdout
    if ".debug_line" not in headers:
        return False
    subprocess.run(
        ["objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", extension, symbols], check=True
    )
    # The link is the symbols' name and checksum, so they have to be as they will stay.
    link = f"--add-gnu-debuglink={symbols}"
    subprocess.run(["objcopy", "--strip-debug", link, extension], check=True)
    return True


def recorded(record: str, changed: dict[str, bytes]) -> str:
    """The wheel's RECORD with new checksums for the files that have `changed`: their names and contents."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    for name, checksum, size in csv.reader(io.StringIO(record)):
        if name in changed:
            digest = base64.urlsafe_b64encode(hashlib.sha256(changed[name]).digest()).rstrip(b"=").decode()
            checksum, size = f"sha256={digest}", str(len(changed[name]))
        rows.writerow([name, checksum, size])
    return out.getvalue()


def rewrite(wheel: Path) -> None:
    """Split the symbols off one wheel, and clean its bill of materials, in its place."""
    with tempfile.TemporaryDirectory() as directory, zipfile.ZipFile(wheel) as before:
        changed = {}
        for name in before.namelist():
            if "/sboms/" in name:
                bill = before.read(name)
                without = bill.replace(f"{ROOT.as_uri()}/".encode(), b"file:///")
                if without != bill:
                    changed[name] = without
            if not name.endswith(".so"):
                continue
            extension = Path(directory, Path(name).name)
            extension.write_bytes(before.read(name))
            symbols = wheel.parent / f"{extension.name}.debug"
            if split(extension, symbols):
                changed[name] = extension.read_bytes()
                print(symbols)
        if changed:
            smaller = Path(directory, wheel.name)
            with zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as after:
                for info in before.infolist():
                    content = changed.get(info.filename, before.read(info))
                    if info.filename.endswith(".dist-info/RECORD"):
                        content = recorded(content.decode(), changed).encode()
                    after.writestr(info, content, zipfile.ZIP_DEFLATED)
            wheel.write_bytes(smaller.read_bytes())
    print(wheel)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        rewrite(Path(path).resolve())
