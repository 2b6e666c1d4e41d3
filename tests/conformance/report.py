"""Say what a run came to: the table, the scores, what failed, and the exit status."""

import fnmatch
import re

from baseline import GOOD, load_json, module_of

PROBLEM = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning|Group|Iteration|Cancelled)\b")


def last_line(text):
    """The telling line of a failure text."""
    lines = [ln for ln in (text or "").strip().splitlines() if ln.strip()]
    if not lines:
        return ""
    for mark in ("child process ended", "no progress for", "module time budget"):
        for line in lines[:2]:
            if line.startswith(mark):
                return " ".join(lines[: lines.index(line) + 1])[:200]
    for line in reversed(lines):
        if PROBLEM.match(line):
            return line.strip()[:200]
    return lines[-1].strip()[:200]


def percent(part, whole):
    return f"{part}/{whole} = {100 * part / whole:.1f}%" if whole else "0/0"


class Report:
    """One run seen against the baseline.  ``required`` is what stock passes, less what is internal."""

    def __init__(self, opts, data, runs, baseline, rules, defined_in, modules, expectations):
        self.opts = opts
        self.data = data
        self.tests = data["tests"]
        self.details = data["details"]
        self.runs = runs
        self.rules = rules
        self.defined_in = defined_in
        self.modules = modules
        self.stock = baseline is None
        self.base_tests = self.tests if self.stock else baseline["tests"]

        self.scope = [t for t in self.base_tests if self.in_scope(t)]
        self.passed_by_stock = [t for t in self.scope if self.base_tests[t] in GOOD]
        self.internal = {t for t in self.passed_by_stock if rules.why(t)}
        self.required = [t for t in self.passed_by_stock if t not in self.internal]
        unknown = [t for t in self.tests if t not in self.base_tests]
        self.extra_bad = sorted(t for t in unknown if self.tests[t] not in (*GOOD, "skip"))
        self.unknown = sorted(set(unknown) - set(self.extra_bad))

        self.expectations = expectations
        self.excused = {t: reason for t in self.required if (reason := expectations.reason(t))}
        self.failing = [t for t in self.required if self.outcome(t) != "pass"]
        self.expected = [t for t in self.failing if t in self.excused]
        self.unexpected_passes = [
            t for t in self.excused if self.outcome(t) == "pass" and not expectations.passes_sometimes(t)
        ]

    def in_scope(self, test_id):
        if module_of(test_id) not in self.modules:
            return False
        match = self.opts.match
        return not match or any(fnmatch.fnmatchcase(test_id, glob) for glob in match)

    def outcome(self, test_id):
        status = self.tests.get(test_id, "missing")
        return "pass" if status in GOOD else status

    def count(self, tests, status):
        return sum(self.outcome(t) == status for t in tests)

    def passed_by_module(self):
        """Module -> number of required tests that passed."""
        counts = dict.fromkeys(self.modules, 0)
        for t in self.required:
            counts[module_of(t)] += self.outcome(t) == "pass"
        return counts

    def line(self, status, test_id, tail=""):
        print(f"  {status:8} {test_id}  {tail or last_line(self.details.get(test_id, ''))}")

    # -- parts ---------------------------------------------------------------

    def print_head(self):
        meta = self.data["meta"]
        print(f"package {self.opts.package}, Python {meta['python']}, {meta['seconds']:g} s")
        if self.stock:
            return
        inst = meta["install"]
        print(f"installed by: {inst.get('how', 'nothing')}; _asyncio: {inst.get('c_asyncio')}")
        for key, label in (
            ("missing_submodules", "package has no"),
            ("stock_submodules", "package re-exports the STOCK"),
            ("broken_submodules", "cannot be imported"),
        ):
            if inst.get(key):
                print(f"  {label}: {', '.join(inst[key])}")
        if inst.get("imports_stock"):
            print("  note: importing the package imported the stock asyncio")
        if meta["stock_modules_loaded"]:
            print("  WARNING: stock modules in use at the end: " + ", ".join(meta["stock_modules_loaded"]))

    def print_row(self, name, required, internal, tail=""):
        ok, skipped = self.count(required, "pass"), self.count(required, "skip")
        print(
            f"{name:24} {len(required) + len(internal):8} {len(internal):8} {len(required):8} "
            f"{ok:6} {len(required) - ok - skipped:6} {skipped:5} {self.count(internal, 'pass'):13}{tail}"
        )

    def print_table(self):
        head = (
            f"{'module':24} {'baseline':>8} {'internal':>8} {'required':>8} "
            f"{'pass':>6} {'fail':>6} {'skip':>5} {'internal pass':>13}"
        )
        print(f"\n{head}\n{'-' * len(head)}")
        for module in self.modules:
            run = self.runs[module]
            ok = run.module_status == "ok"
            self.print_row(
                module,
                [t for t in self.required if module_of(t) == module],
                [t for t in self.internal if module_of(t) == module],
                "" if ok else f"  {run.module_status}: {last_line(run.module_detail)}",
            )
        print("-" * len(head))
        self.print_row("total", self.required, self.internal)
        for module in self.modules:
            for note in self.runs[module].notes:
                first, *rest = note.splitlines()
                print(f"note: {module}: {first}")
                if self.opts.verbose:
                    print("    " + "\n    ".join(rest))

    def print_failures(self):
        unexplained = [t for t in self.failing if t not in self.excused]
        if unexplained and (self.opts.verbose or len(unexplained) <= 40):
            print("\nnot passed:")
            for t in unexplained:
                self.line(self.outcome(t), t)
        if self.expected and self.opts.verbose:
            print("\nexpected failures:")
            for t in self.expected:
                self.line(self.outcome(t), t, f"[{self.excused[t]}]")
        if self.opts.show_internal:
            print("\ninternal:")
            for t in sorted(self.internal):
                self.line(self.outcome(t), t, f"[{self.rules.why(t)[1]}]")
        if self.stock and self.opts.verbose:
            print("\nnot in the baseline:")
            for t in self.scope:
                if self.base_tests[t] not in GOOD:
                    self.line(self.tests[t], t)
        if self.extra_bad:
            print("\nfailed, unknown to the baseline:")
            for t in self.extra_bad:
                self.line(self.tests[t], t)
        if self.unknown and self.opts.verbose:
            print(f"\n{len(self.unknown)} tests are unknown to the baseline")

    def print_scores(self):
        ok, internal_ok = self.count(self.required, "pass"), self.count(self.internal, "pass")
        distinct = {}
        for t in self.required:
            key = (self.defined_in.get(t, t), t.rpartition(".")[2])
            distinct[key] = distinct.get(key, True) and self.outcome(t) == "pass"
        self.data["score"] = {
            "behavioural": [ok, len(self.required)],
            "with_internal": [ok + internal_ok, len(self.passed_by_stock)],
        }
        print()
        print(f"score without internal tests: {percent(ok, len(self.required))}")
        print(f"score with internal tests:    {percent(ok + internal_ok, len(self.passed_by_stock))}")
        print(
            "distinct test functions (one counts if all its instances pass): "
            f"{percent(sum(distinct.values()), len(distinct))}"
        )

    def check_expectations(self):
        """Print what is wrong with the expectations file; returns True if nothing is."""
        for t in self.unexpected_passes:
            print(f"  UNEXPECTEDLY PASSES {t}: remove it from {self.expectations.path}")
        stale = []
        if not self.opts.match and not self.opts.modules:
            stale = self.expectations.stale(self.required)
            for glob in stale:
                print(f"  MATCHES NOTHING {glob}: remove it from {self.expectations.path}")
        return not (self.unexpected_passes or stale)

    def check_scores(self, scores):
        """Compare with (or record) the recorded scores; returns True if none fell."""
        if self.opts.match or self.stock or scores.package != self.opts.package:
            return True
        now = self.passed_by_module()
        fallen = scores.fallen(now)
        for module, before, count in fallen:
            print(f"  SCORE FELL {module}: {before} -> {count} passed ({scores.path})")
        if self.opts.record:
            scores.record(now)
        return not fallen

    def compare(self, path):
        """Print what regressed since the results in *path*; returns True if nothing required did."""
        old = load_json(path)
        old_tests = old["tests"]
        both = [t for t in self.tests if t in old_tests]
        lost = [t for t in both if old_tests[t] in GOOD and self.tests[t] not in GOOD]
        # what ran before and is in scope now but vanished is a regression too
        lost += [t for t in old_tests if t not in self.tests and self.in_scope(t) and old_tests[t] in GOOD]
        won = [t for t in both if old_tests[t] not in GOOD and self.tests[t] in GOOD]
        won += [t for t in self.tests if t not in old_tests and self.tests[t] in GOOD]
        lost_required = [t for t in lost if not self.rules.why(t)]
        print()
        for t in sorted(lost):
            mark = "internal " if self.rules.why(t) else ""
            print(
                f"  REGRESSED {mark}{t}: {old_tests[t]} -> {self.tests.get(t, 'missing')}"
                f"  {last_line(self.details.get(t, ''))}"
            )
        if self.opts.verbose:
            for t in sorted(won):
                print(f"  fixed {t}")
        print(
            f"compared with {path} ({old['meta'].get('package')}, Python {old['meta'].get('python')}): "
            f"{len(lost)} regressed ({len(lost_required)} not internal), {len(won)} fixed"
        )
        return not lost_required

    def print_all(self, scores):
        """Print everything; returns the exit status."""
        self.print_head()
        self.print_table()
        self.print_failures()
        self.print_scores()
        good = self.check_expectations()
        good = self.check_scores(scores) and good
        if self.opts.compare:
            good = self.compare(self.opts.compare) and good
        else:
            good = good and len(self.failing) == len(self.expected) and not self.extra_bad
        ok = self.count(self.required, "pass")
        failed = len(self.required) - ok - len(self.expected)
        expected = f"{len(self.expected)} expected failures, " if self.expected else ""
        print(f"{ok} passed, {failed} failed, {expected}{len(self.scope) - len(self.required)} skipped")
        return 0 if good else 1
