"""The version, which is the extension's."""

from ._ferrio import __version__

__all__ = ("__version__",)
