"""A suite of suites.toml's: its table, how its sources and its environment come to be in `.work/suites/`, its server.

Only package registries are asked: PyPI through pip, and Debian through apt-get from the mirror that apt uses here. What
has been fetched is kept. Each suite has a virtual environment of its own, because pytest loads every plugin that is
installed beside it.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / ".work" / "suites"
sys.path.append(str(ROOT / "tests"))
import servers  # noqa: E402 - found by the line above

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unobtainable(Exception):
    """A suite cannot be had on this machine; says why."""


@dataclass
class Suite:
    """One table of suites.toml."""

    name: str
    version: str
    source: str
    needs: list[str]
    tests: list[str]
    options: list[str] = field(default_factory=list)
    installed: list[str] = field(default_factory=list)
    server: str = ""
    programs: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def sources(self):
        """The directory of the unpacked source."""
        return WORK / f"{self.name}-{self.version}"

    @property
    def python(self):
        """The interpreter of the suite's environment, one for each version of Python."""
        return WORK / "venv-{}.{}".format(*sys.version_info) / self.name / "bin" / "python"

    def prepare(self):
        """Fetch and install what is missing. Raises Unobtainable."""
        if why := servers.missing(*self.programs):
            raise Unobtainable(why)
        if not self.sources.exists():
            self._fetch()
        if (supplied := HERE / "supplied" / self.name).exists():
            shutil.copytree(supplied, self.sources, dirs_exist_ok=True)
        # For a suite without a configuration: pytest would look further up, and take ferrio's own.
        (WORK / "pytest.ini").write_text("[pytest]\n")
        wanted = "\n".join([f"{self.name}=={self.version}", *self.needs])
        stamp = self.python.parent / "installed"
        if not stamp.exists() or stamp.read_text() != wanted:
            environment = self.python.parent.parent
            shutil.rmtree(environment, ignore_errors=True)
            called([sys.executable, "-m", "venv", "--without-pip", environment])
            called([*pip("--python", self.python, "install"), *wanted.split("\n")])
            stamp.write_text(wanted)

    @contextlib.contextmanager
    def served(self):
        """What the tests get while their server runs: their options and their environment. Raises Unobtainable."""
        if not self.server:
            yield self.options, self.environment
            return
        kind = getattr(servers, self.server)
        if why := servers.missing(*kind.needs):
            raise Unobtainable(why)
        server = kind()
        try:
            options = [option.format(server=server) for option in self.options]
            yield options, {name: value.format(server=server) for name, value in self.environment.items()}
        finally:
            server.stop()

    def _fetch(self):
        downloads = WORK / "downloads" / self.name
        shutil.rmtree(downloads, ignore_errors=True)
        downloads.mkdir(parents=True)
        registry, _, package = self.source.partition(" ")
        if registry == "pypi":
            called([
                *pip("download", "--no-deps", "--no-binary", self.name, "--dest", downloads),
                f"{self.name}=={self.version}",
            ])  # fmt: skip
        else:
            debian_source(registry, package, self.version, downloads)
        (archive,) = downloads.glob("*.tar.*")
        unpacked = downloads / "unpacked"
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        (top,) = unpacked.iterdir()
        for package in self.installed:
            shutil.rmtree(top / package)
        top.rename(self.sources)


def all_suites():
    """The suites of suites.toml, in its order."""
    tables = tomllib.loads((HERE / "suites.toml").read_text())
    return [Suite(name, **table) for name, table in tables.items()]


def pip(*arguments):
    """The command line of this environment's pip."""
    return [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]


def debian_source(release, package, version, directory):
    """Fetch the upstream archive of a Debian source package, with apt's lists and caches below *directory*."""
    if shutil.which("apt-get") is None:
        raise Unobtainable("its tests are in Debian's source package only, and there is no apt-get here")
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    mirror = next((site for site in targets.split() if site.rstrip("/").endswith("/debian")), None)
    if mirror is None:
        raise Unobtainable("apt has no Debian mirror")
    apt = directory / "apt"
    (apt / "lists" / "partial").mkdir(parents=True)
    (apt / "cache").mkdir()
    (apt / "sources.list").write_text(f"deb-src [signed-by={KEYRING}] {mirror} {release} main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        # apt's own user may not enter this directory.
        "APT::Sandbox::User": "",
    }
    command = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    called([*command, "update"])
    called([*command, "source", "--tar-only", "--download-only", f"{package}={version}-1"], cwd=directory)


def called(command, **options):
    """Run a command that fetches or installs. Raises Unobtainable with its last line if it fails."""
    done = subprocess.run(
        [*map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"LC_ALL": "C"},
        check=False,
        **options,
    )
    if done.returncode:
        last = (done.stdout.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise Unobtainable(f"{Path(command[0]).name} failed: {last}")
