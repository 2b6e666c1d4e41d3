"""The version of the installed package; asked of the package's metadata only if the extension does not know it."""

from . import _ferrio

__version__ = getattr(_ferrio, "__version__", None)
if __version__ is None:
    from importlib.metadata import version

    __version__ = version("ferrio")
