"""Why `ferrio._ferrio` cannot be imported, in one line that says what to do.

The extension is a file for one Python: its version, and whether it is a free-threaded build, are part of its name.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_HERE = Path(__file__).parent


def explained(error):
    """The ImportError to raise instead of *error*, which importing the extension has raised."""
    files = sorted(path.name for path in _HERE.glob("_ferrio.*") if path.suffix in (".so", ".pyd"))
    if any(name == "_ferrio" + suffix for name in files for suffix in EXTENSION_SUFFIXES):
        if error.path is None or Path(error.path).parent != _HERE or ": " not in str(error):
            # It was loaded, and refuses (a second interpreter, say) for a reason of its own.
            return error
        why = str(error).rpartition(": ")[2]
        advice = _install("--no-binary ferrio ")
        text = f"ferrio's extension does not load on this system ({why}); build ferrio here: {advice}"
    elif files:
        built_for = ", ".join(_python_of(name) for name in files)
        text = (
            f"ferrio in {_HERE} is built for Python {built_for}, and this is {_this_python()}; "
            f"install it for this one: {_install()}"
        )
    else:
        text = (
            f"ferrio in {_HERE} has no extension; build it: `make develop` in a checkout, else {_install()}"
        )
    # By this name runpy knows that it is the package itself, and shows one line.
    return ImportError(text, name=__package__)


def _install(options=""):
    return f"`{sys.executable} -m pip install --force-reinstall {options}ferrio`"


def _this_python():
    free_threaded = "t" if "t" in getattr(sys, "abiflags", "") else ""
    return f"Python {sys.version_info[0]}.{sys.version_info[1]}{free_threaded}"


def _python_of(name):
    """`3.13` for `_ferrio.cpython-313-x86_64-linux-gnu.so`; the tag itself where it is of another kind."""
    tag = name.split(".")[1]
    version = tag.removeprefix("cpython-").partition("-")[0]
    digits = version.rstrip("t")
    if not tag.startswith("cpython-") or not digits.isdigit():
        return tag
    return f"{digits[0]}.{digits[1:]}{version[len(digits) :]}"
