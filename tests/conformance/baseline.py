"""The stock results that a package is measured against, and what is left out of them.

A baseline is what stock asyncio did with the suite on one Python; ``internal.txt`` names the tests whose
subject is the stock implementation's private parts.  Only reading and arithmetic in here: no process is
started and nothing is printed.
"""

import fnmatch
import json
import os
import re
import sysconfig

PREFIX = "test.test_asyncio."
GOOD = ("pass", "xfail")


def short_id(test_id):
    if test_id.startswith(PREFIX):
        return test_id[len(PREFIX) :]
    return test_id


def list_modules():
    import test.test_asyncio

    folder = os.path.dirname(test.test_asyncio.__file__)
    return sorted(n[:-3] for n in os.listdir(folder) if n.startswith("test_") and n.endswith(".py"))


def find_modules():
    """list_modules() without importing the test package in this process."""
    folder = os.path.join(sysconfig.get_path("stdlib"), "test", "test_asyncio")
    if not os.path.isdir(folder):
        return list_modules()
    return sorted(n[:-3] for n in os.listdir(folder) if n.startswith("test_") and n.endswith(".py"))


def read_internal(path):
    """[(glob, reason, (lo, hi))]; see internal.txt for the format."""
    rules = []
    if not path or not os.path.exists(path):
        return rules
    reason = ""
    with open(path) as f:
        for line in f:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]"):
                reason = line[1:-1].strip()
                continue
            glob, _, cond = line.partition("@")
            lo, hi = (0, 0), (99, 99)
            cond = cond.strip()
            if cond.startswith(">="):
                lo = tuple(map(int, cond[2:].split(".")))
            elif cond.startswith("<="):
                hi = tuple(map(int, cond[2:].split(".")))
            elif cond:
                raise SystemExit(f"{path}: bad condition in {line!r}")
            rules.append((glob.strip(), reason, lo, hi))
    return rules


class Internal:
    def __init__(self, rules, version):
        self.rules = []
        for glob, reason, lo, hi in rules:
            if lo <= version <= hi:
                self.rules.append((re.compile(fnmatch.translate(glob)), glob, reason))
        self.cache = {}
        self.used = set()

    def why(self, test_id):
        if test_id not in self.cache:
            self.cache[test_id] = None
            for rx, glob, reason in self.rules:
                if rx.match(test_id):
                    self.cache[test_id] = (glob, reason)
                    self.used.add(glob)
                    break
        return self.cache[test_id]


def load_json(path):
    with open(path) as f:
        return json.load(f)


def dump_json(data, path):
    tmp = path + ".tmp"
    with open(tmp, "w") as f:
        json.dump(data, f, indent=0, sort_keys=True)
        f.write("\n")
    os.replace(tmp, path)


def module_of(test_id):
    """Module part of an id: the text before the first capitalised component."""
    parts = test_id.split(".")
    for i, part in enumerate(parts):
        if part[:1].isupper() or part[:1] in "<_":
            return ".".join(parts[:i]) or parts[0]
    return parts[0]


def merge_runs(runs):
    """Several results of the same thing -> one; disagreement is 'flaky'."""
    tests, details = {}, {}
    for test_id in sorted(set().union(*(r["tests"] for r in runs))):
        seen = [r["tests"].get(test_id, "missing") for r in runs]
        if len(set(seen)) == 1:
            tests[test_id] = seen[0]
        else:
            tests[test_id] = "flaky"
            details[test_id] = "over the runs: " + ", ".join(seen)
        for r in runs:
            if test_id in r["details"] and tests[test_id] not in GOOD:
                details[test_id] = (details.get(test_id, "") + "\n" + r["details"][test_id]).strip()
                break
    return tests, details
