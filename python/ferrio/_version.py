"""The version: the extension knows it; a build that does not is asked for through the package's metadata."""

from . import _ferrio

__version__ = getattr(_ferrio, "__version__", None)
if __version__ is None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        __version__ = version("ferrio")
    except PackageNotFoundError:
        # Built in place, in a source tree.
        __version__ = "unknown"
