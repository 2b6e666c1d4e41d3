#!/usr/bin/env python3
"""Installs a wheel into an environment with nothing else in it, and uses it; `make check-wheels` runs this for each.

    try_wheel.py [--imports N] PACKAGE      a wheel, a source distribution, or a checkout: what `pip install` takes

Run by the Python that the wheel is for, on any machine that the wheel is to run on. What it does there: hello, the
REPL, a TLS server with a client, a child process, `ferrio doctor`; and where gdb is, it looks whether gdb finds the
debug symbols, in the file that lies beside the wheel. `--imports N` also times N imports, with bytecode and without.

The programs are those of `docs/programs`, and print what the documents say. Nothing here is imported from the checkout.
Standard library only.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parent.parent / "docs" / "programs"
SECONDS = 120
SECONDS_TO_BUILD = 3600


class Failed(Exception):
    """Something that the installed wheel does differently from what it should."""


class Installed:
    """An environment that has the wheel, and nothing else."""

    def __init__(self, folder: Path, package: Path) -> None:
        self.folder = folder
        venv.create(folder / "environment", with_pip=True)
        self.bin = folder / "environment" / "bin"
        kept = ("PATH", "HOME", "LANG", "TMPDIR")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ}
        self.environment["PATH"] = f"{self.bin}:{self.environment['PATH']}"
        pip = ["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if package.suffix == ".whl":
            self.run(*pip, "--no-index", str(package))
        else:
            self.run(*pip, str(package), seconds=SECONDS_TO_BUILD)

    def run(
        self, *command: str, stdin: str = "", seconds: float = SECONDS, bytecode: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in an empty folder; it has to succeed."""
        done = subprocess.run(
            [str(self.bin / command[0]) if (self.bin / command[0]).exists() else command[0], *command[1:]],
            cwd=self.folder,
            env=self.environment | ({} if bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def python(self, code: str) -> str:
        return self.run("python", "-c", code).stdout.strip()

    def extension(self) -> Path:
        return Path(self.python("import ferrio._ferrio; print(ferrio._ferrio.__file__)"))


def expect(what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise Failed(f"{what}: {found!r} instead of {wanted!r}")
    print(f"    {what}: {' | '.join(found.split(chr(10)))}")


def try_programs(installed: Installed) -> None:
    def printed(program: str) -> str:
        return installed.run("ferrio", "run", str(PROGRAMS / program)).stdout.strip()

    expect("hello", printed("hello.py"), "one\ntwo\nthree\ndone, with ferrio")
    typed = "await asyncio.sleep(0, 'slept')\nasyncio.__name__\n"
    session = installed.run("python", "-m", "ferrio", stdin=typed)
    said = re.findall(r"'(\w+)'", session.stdout)
    expect("the REPL", "\n".join(said), "slept\nferrio")
    expect(
        "TLS server and client",
        printed("tls_both_ends.py"),
        (PROGRAMS / "tls_both_ends.out").read_text().strip(),
    )
    expect(
        "a child process",
        printed("subprocess_sort.py"),
        (PROGRAMS / "subprocess_sort.out").read_text().strip(),
    )
    told = installed.run("ferrio", "doctor").stdout.splitlines()
    print(
        "    doctor: "
        + " | ".join(line.strip() for line in told if re.match(r"\s*(ferrio|driver|tls)\b", line))
    )


def try_symbols(installed: Installed, package: Path) -> None:
    """gdb has line numbers of the extension where the file of symbols lies beside it, and none without."""
    extension = installed.extension()
    symbols = package.parent / f"{extension.name}.debug"
    if not symbols.exists() or shutil.which("gdb") is None:
        print(f"    debug symbols: not tried ({'no gdb here' if symbols.exists() else f'no {symbols.name}'})")
        return

    def line() -> str:
        gdb = ["gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "info line PyInit__ferrio"]
        return installed.run(*gdb, str(extension)).stdout.strip()

    without = line()
    shutil.copy(symbols, extension.parent)
    with_them = line()
    (extension.parent / symbols.name).unlink()
    numbered = re.compile(r'^Line \d+ of "[^"]+\.rs"')
    if numbered.match(without) or not numbered.match(with_them):
        raise Failed(f"debug symbols: gdb said {without!r} without {symbols.name}, {with_them!r} with it")
    print(f"    debug symbols: gdb finds {symbols.name}")


def time_imports(installed: Installed, times: int) -> None:
    """Print the medians of `python -X importtime -c 'import ferrio'`: the line that sums up all of ferrio."""

    def microseconds() -> int:
        said = installed.run("python", "-X", "importtime", "-c", "import ferrio", bytecode=bytecode).stderr
        found = re.search(r"\|\s*(\d+) \| ferrio$", said, re.MULTILINE)
        if found is None:
            raise Failed(f"-X importtime does not name ferrio:\n{said}")
        return int(found[1])

    package = installed.extension().parent
    for bytecode in (True, False):
        if not bytecode:
            for cache in package.rglob("__pycache__"):
                shutil.rmtree(cache)
        microseconds()
        taken = sorted(microseconds() for _ in range(times))
        title = "with bytecode" if bytecode else "without bytecode"
        median, least, most = (each / 1000 for each in (statistics.median(taken), taken[0], taken[-1]))
        print(f"    import {title}: {median:.1f} ms, median of {times} ({least:.1f} to {most:.1f})")


def main() -> int:
    parser = argparse.ArgumentParser(description="Install a wheel into a clean environment, and use it.")
    parser.add_argument("--imports", type=int, default=0, metavar="N", help="time N imports of each kind")
    parser.add_argument("package", type=Path)
    options = parser.parse_args()
    package: Path = options.package.resolve()
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else "no glibc"
    print(f"{package.name}\n    on {sys.version.split()[0]}, {libc}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            installed = Installed(Path(folder).resolve(), package)
            try_programs(installed)
            try_symbols(installed, package)
            if options.imports:
                time_imports(installed, options.imports)
        except Failed as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
