#!/usr/bin/env python3
"""Run CPython's own test.test_asyncio against another package.

The package is installed in ``sys.modules`` under the name ``asyncio`` (and its submodules under
``asyncio.SUB``) before anything imports asyncio, in a fresh process per test module.  See README.md next to
this file.

This is the command line and the order of events; standard library only, and it runs the suite of the
interpreter that executes it (3.11+).
"""

import argparse
import concurrent.futures
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time

from baseline import PREFIX, Internal, dump_json, find_modules, load_json, merge_runs, read_internal, short_id
from expectations import Expectations, Scores
from report import Report
from supervisor import ModuleRun

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def arguments():
    p = argparse.ArgumentParser(
        description="Run this interpreter's test.test_asyncio against a package that is to replace asyncio."
    )
    option = p.add_argument
    option("--package", required=True, metavar="NAME",
           help="package to install as asyncio ('asyncio': the stock one)")  # fmt: skip
    option("--path", action="append", default=[], metavar="DIR",
           help="put DIR in front of sys.path to find the package")  # fmt: skip
    option("--modules", metavar="M,M", help="e.g. test_tasks,test_locks (default: all of test.test_asyncio; "
           "a dotted name is taken as is)")  # fmt: skip
    option("--match", action="append", default=[], metavar="GLOB",
           help="only tests whose id matches, e.g. 'test_locks.LockTests.*'")  # fmt: skip
    option("--json", metavar="OUT", help="write the results there")
    option("--jobs", type=int, default=1, metavar="N")
    option("--timeout", type=float, default=1200, metavar="S",
           help="time budget of a module, all its processes together (default %(default)s)")  # fmt: skip
    option("--test-timeout", type=float, default=120, metavar="S",
           help="longest one test may take without finishing (default %(default)s)")  # fmt: skip
    option("--runs", type=int, default=1, metavar="N",
           help="run everything N times; a test whose outcome varies is 'flaky' and never counts as passed "
           "(for baselines: 2 or 3)")  # fmt: skip
    option("--baseline", metavar="FILE", default=os.path.join(HERE, f"baseline-{VERSION}.json"),
           help="stock results (default: baseline-X.Y.json here)")  # fmt: skip
    option("--internal", metavar="FILE", default=os.path.join(HERE, "internal.txt"))
    option("--expectations", metavar="FILE", default=os.path.join(HERE, f"expectations-{VERSION}.toml"),
           help="expected failures and their reasons (default: expectations-X.Y.toml here)")  # fmt: skip
    option("--scores", metavar="FILE", default=os.path.join(HERE, "scores.json"),
           help="recorded scores that may not fall (default: scores.json here)")  # fmt: skip
    option("--record", action="store_true", help="raise the recorded scores to this run's")
    option("--compare", metavar="JSON",
           help="an earlier --json of the same package: list what regressed")  # fmt: skip
    option("--show-internal", action="store_true",
           help="list excluded tests and why; failing internal tests too")  # fmt: skip
    option("--keep", action="store_true", help="keep the work directory")
    option("-v", "--verbose", action="count", default=0)
    return p


def choose_modules(parser, opts):
    available = find_modules()
    if opts.modules:
        modules = [m.strip().removeprefix(PREFIX) for m in opts.modules.split(",") if m.strip()]
        bad = [m for m in modules if "." not in m and m not in available]
        if bad:
            parser.error(f"no such module in {PREFIX[:-1]} of {VERSION}: {', '.join(bad)}")
        return modules
    if opts.match:
        heads = {glob.split(".")[0] for glob in opts.match}
        if not any(c in head for head in heads for c in "*?["):
            return [m for m in available if m in heads]
    return available


def one_run(opts, modules, workdir):
    """Run every module once; returns module -> ModuleRun."""

    def work(module):
        if opts.verbose:
            print(f"... {module}", file=sys.stderr, flush=True)
        return ModuleRun(opts, module, workdir).run()

    with concurrent.futures.ThreadPoolExecutor(max(1, opts.jobs)) as pool:
        try:
            return dict(zip(modules, pool.map(work, modules), strict=True))
        except BaseException:  # Ctrl-C: do not leave children behind
            opts.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def all_runs(opts, modules):
    workdir = tempfile.mkdtemp(prefix="conformance-")
    try:
        return [one_run(opts, modules, workdir) for _ in range(max(1, opts.runs))]
    finally:
        if opts.keep:
            print(f"work directory: {workdir}", file=sys.stderr)
        else:
            shutil.rmtree(workdir, ignore_errors=True)


def results(opts, modules, rounds, took):
    """The ``--json`` document of a run."""
    flat = []
    for runs in rounds:
        tests, details = {}, {}
        for run in runs.values():
            tests.update(run.results)
            details.update(run.details)
        flat.append({"tests": tests, "details": details})
    tests, details = merge_runs(flat)
    runs = rounds[-1]
    return {
        "meta": {
            "package": opts.package,
            "python": platform.python_version(),
            "modules": modules,
            "runs": opts.runs,
            "seconds": round(took, 1),
            "install": next((r.report for r in runs.values() if r.report), {}),
            "module_status": {
                m: {"status": r.module_status, "detail": r.module_detail[-3000:]}
                for m, r in runs.items()
                if r.module_status != "ok"
            },
            "module_seconds": {m: round(r.seconds, 1) for m, r in runs.items()},
            "notes": {m: r.notes for m, r in runs.items() if r.notes},
            "stock_modules_loaded": sorted(set().union(*(r.stock_loaded for r in runs.values()))),
            "env_altered": sorted(t for r in runs.values() for t in r.altered),
        },
        "tests": tests,
        "details": {k: v[-3000:] for k, v in details.items()},
    }


def defining_classes(baseline, runs):
    """Test id -> the class that defines its function, where that is another one.

    For the count of distinct functions; kept with the baseline for modules that a package does not let
    import.
    """
    defined_in = dict(baseline.get("defined_in", ())) if baseline else {}
    for run in runs.values():
        for test_id, key in run.keys.items():
            key = short_id(key)
            if key != test_id:
                defined_in[test_id] = key.removesuffix("." + test_id.rpartition(".")[2])
            else:
                defined_in.pop(test_id, None)
    return defined_in


def main(argv=None):
    parser = arguments()
    opts = parser.parse_args(argv)
    opts.path = [os.path.abspath(d) for d in opts.path]
    opts.stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    modules = choose_modules(parser, opts)

    stock = opts.package == "asyncio"
    baseline = None
    if not stock:
        try:
            baseline = load_json(opts.baseline)
        except FileNotFoundError:
            parser.error(
                f"{opts.baseline} is missing; make it with\n"
                f"  {sys.executable} {sys.argv[0]} --package asyncio --runs 3 --json {opts.baseline}"
            )
    if opts.compare and not os.path.exists(opts.compare):
        parser.error(f"--compare: {opts.compare} is missing")
    # Stock is what the expectations are measured against, so it has none itself.
    expectations = Expectations(os.devnull if stock else opts.expectations)
    rules = Internal(read_internal(opts.internal), sys.version_info[:2])

    began = time.monotonic()
    rounds = all_runs(opts, modules)
    data = results(opts, modules, rounds, time.monotonic() - began)
    defined_in = defining_classes(baseline, rounds[-1])
    if stock:
        data["defined_in"] = defined_in
    report = Report(opts, data, rounds[-1], baseline, rules, defined_in, modules, expectations)
    rc = report.print_all(Scores(opts.scores, VERSION))
    if opts.json:
        dump_json(data, opts.json)
    return rc


if __name__ == "__main__":
    sys.exit(main())
