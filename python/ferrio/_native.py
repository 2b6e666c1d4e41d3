"""Where every module of the package takes its native names from: `from ._native import Lock`.

One room stands between the package and `ferrio._ferrio` so that the house can open before its last wall is up: a name
that the extension does not have yet becomes a placeholder (`_not_yet`) instead of an ImportError that would take the
whole submodule with it.  `tests/frontdoor/test_names.py` holds the two sides together: whatever is asked for here is
in the extension or in the table of `_not_yet`, never in both.  Nothing else may be in this file.
"""

try:
    from . import _ferrio
except ImportError as exc:
    from ._wrong_extension import explained

    raise explained(exc) from None
from ._not_yet import not_yet


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(_ferrio, name)
    except AttributeError:
        return not_yet(name)
