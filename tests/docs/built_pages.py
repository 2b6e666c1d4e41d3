"""What the documents' own pages are made with (`docs/_build`), importable for the tests; it needs no mkdocs."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
for place in (ROOT, ROOT / "docs" / "_build"):
    if str(place) not in sys.path:
        sys.path.append(str(place))

import bars  # noqa: E402, F401 - found by the paths above
import differences  # noqa: E402, F401
import figures  # noqa: E402, F401
import front  # noqa: E402, F401
import reference  # noqa: E402, F401
