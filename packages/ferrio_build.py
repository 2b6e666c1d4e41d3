"""The build backend of `pip install .` and of the source distribution: maturin's, with two things more.

- A wheel is built with the recorded profile (`pgo/`), as `make wheel` does it, if the Rust here is the one that it was
  recorded with. Another Rust builds without, and says so (`pip install -v` shows it).
- Where ferrio cannot be built, this says what is missing, before anything is compiled or downloaded. maturin would
  fetch a Rust toolchain by itself; here the machine's own is used, or none.

pyproject.toml names this file in `[build-system]`. pip, uv, `python -m build` and their like run it by the Python that
ferrio is built for, in the folder that has Cargo.toml. `make` calls maturin itself.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from typing import Any

import maturin

Settings = Mapping[str, Any] | None

OLDEST, NEWEST = (3, 11), (3, 15)
"""The Pythons whose objects `crates/ferrio-object` knows from the inside."""


def unsuitable(system: str, implementation: str, version: tuple[int, int], free_threaded: bool) -> str:
    """Why ferrio cannot be built for such a Python; empty if it can."""
    wanted = "CPython {}.{} to {}.{}".format(*OLDEST, *NEWEST)
    found = f"{implementation} {version[0]}.{version[1]}"
    if system != "Linux":
        return f"it runs on Linux; this is {system}."
    if implementation != "CPython" or not OLDEST <= version <= NEWEST:
        return f"it is made for {wanted}; this is {found}."
    if free_threaded:
        return f"it counts on the GIL, which this build of {found} has not. Take an ordinary {wanted}."
    return ""


def need_python() -> None:
    """Exit with the reason if ferrio cannot be built for the Python that runs this."""
    reason = unsuitable(
        platform.system(),
        platform.python_implementation(),
        sys.version_info[:2],
        bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    )
    if reason:
        sys.exit(f"ferrio cannot be built here: {reason}")


def need_rust() -> None:
    """Exit if there is no Rust, one that is too old, or no linker for it; the script has said what to do."""
    if subprocess.run(["sh", ".ci/prerequisites", "--rust"], check=False).returncode != 0:
        sys.exit(1)


def use_profile() -> None:
    """Have cargo build for the recorded profile, if this Rust can use it."""
    said = subprocess.run(
        ["sh", "pgo/with-profile", "sh", "-c", 'printf %s "${CARGO_ENCODED_RUSTFLAGS-}"'],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    if said.stdout:
        os.environ["CARGO_ENCODED_RUSTFLAGS"] = said.stdout


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Nothing beside maturin; the first question that pip asks, so the place to say that ferrio cannot be built."""
    need_python()
    need_rust()
    return []


get_requires_for_build_editable = get_requires_for_build_wheel


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Nothing beside maturin, which asks cargo what belongs into a source distribution."""
    need_rust()
    return []


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel and return its file's name."""
    use_profile()
    return str(maturin.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel that refers to this folder and return its file's name."""
    use_profile()
    return str(maturin.build_editable(wheel_directory, config_settings, metadata_directory))


build_sdist = maturin.build_sdist
prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = maturin.prepare_metadata_for_build_editable
