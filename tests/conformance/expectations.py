"""What is known not to pass, and the scores that may never fall.

``expectations-3.NN.toml`` gives a reason for every required test that does not pass on that Python::

    [[expected]]
    test = "test_tasks.*.test_something"
    reason = "why, and what would have to change"

It may not grow stale: an entry whose test passes, or that matches no required test, is an error.  With
``sometimes = true`` the test may pass too: for those whose outcome hangs on when the garbage collector runs.
``scores.json`` holds, per Python version and module, how many required tests passed when it was last
recorded; a run below that is an error even if every failure has an expectation.
"""

import json
import os
import re
import tomllib
from fnmatch import translate


class Expectations:
    """The expected failures of one Python version."""

    def __init__(self, path):
        """Read *path* (no file: nothing is expected); raises SystemExit on a malformed entry."""
        self.path = path
        self.entries = []
        self.may_pass = []
        if not os.path.exists(path):
            return
        with open(path, "rb") as f:
            for entry in tomllib.load(f).get("expected", ()):
                sometimes = entry.pop("sometimes", False)
                if set(entry) != {"test", "reason"} or not all(
                    isinstance(text, str) and text.strip() for text in entry.values()
                ):
                    raise SystemExit(f"{path}: an entry needs a test and a reason and nothing else: {entry}")
                matching = re.compile(translate(entry["test"]))
                self.entries.append((entry["test"], matching, entry["reason"]))
                if sometimes is True:
                    self.may_pass.append(matching)

    def reason(self, test_id):
        """Why *test_id* is expected to fail, or None."""
        return next((reason for _, rx, reason in self.entries if rx.match(test_id)), None)

    def passes_sometimes(self, test_id):
        """Whether a pass of *test_id* says nothing about the entry."""
        return any(rx.match(test_id) for rx in self.may_pass)

    def stale(self, required):
        """The globs that match none of the *required* tests."""
        return [glob for glob, rx, _ in self.entries if not any(map(rx.match, required))]


class Scores:
    """The recorded scores of one package, in a JSON file shared by all Python versions."""

    def __init__(self, path, version):
        self.path = path
        self.version = version
        self.data = {"package": "ferrio", "passed": {}}
        if os.path.exists(path):
            with open(path) as f:
                self.data = json.load(f)

    @property
    def package(self):
        """The package that the scores are about."""
        return self.data["package"]

    def fallen(self, now):
        """``[(module, recorded, now)]`` for each module of *now* (module -> passed) that fell."""
        recorded = self.data["passed"].get(self.version, {})
        return [
            (module, recorded[module], count)
            for module, count in now.items()
            if count < recorded.get(module, 0)
        ]

    def record(self, now):
        """Raise the recorded scores to *now*; one that fell stays, to be mended or taken out by hand."""
        mine = self.data["passed"].setdefault(self.version, {})
        for module, count in now.items():
            mine[module] = max(count, mine.get(module, 0))
        tmp = self.path + ".tmp"
        with open(tmp, "w") as f:
            json.dump(self.data, f, indent=1, sort_keys=True)
            f.write("\n")
        os.replace(tmp, self.path)
