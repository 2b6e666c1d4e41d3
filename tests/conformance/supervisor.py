"""Run one test module in as many child processes as it takes.

A test may hang or kill its process; the module is then continued in a fresh one without it, and the culprit
is run once more by itself to tell a test that always does this from one that only does it in sequence.  The
child reports through an append-only file, which survives any death of its writer.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from baseline import GOOD, short_id
from install import ENV_ALIAS

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")


def end_process_group(proc):
    """End the child if it still runs, and whatever it started."""
    if proc.poll() is None:
        # SIGABRT makes faulthandler write every thread's stack.
        for sig, grace in ((signal.SIGABRT, 3), (signal.SIGKILL, 10)):
            proc.send_signal(sig)
            try:
                proc.wait(grace)
            except subprocess.TimeoutExpired:
                continue
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(proc.pid, signal.SIGKILL)  # descendants of ours only


def read_tail(path, size=4000):
    """The last *size* bytes of a log, as text."""
    with open(path, "rb") as f:
        f.seek(max(0, os.path.getsize(path) - size))
        return f.read().decode("utf-8", "replace")


class ModuleRun:
    """Runs one module in as many child processes as it takes."""

    def __init__(self, opts, module, workdir):
        self.opts = opts
        self.module = module
        self.workdir = workdir
        self.results = {}  # id -> status
        self.details = {}  # id -> text
        self.times = {}
        self.altered = []
        self.ids = None
        self.keys = {}
        self.module_status = "ok"
        self.module_detail = ""
        self.report = {}
        self.stock_loaded = set()
        self.notes = []
        self.launches = 0
        self.seconds = 0.0

    # -- one child process ---------------------------------------------------

    def launch(self, deadline, exclude=(), only=None):
        """Run one child.  Returns (why, culprit, state); why is 'done', 'timeout', 'crash' or 'budget'."""
        self.launches += 1
        base = os.path.join(self.workdir, f"{self.module}-{self.launches}")
        spec = {
            "module": self.module,
            "package": self.opts.package,
            "path": self.opts.path,
            "events": base + ".events",
            "match": self.opts.match,
            "exclude": sorted(exclude),
            "only": only,
        }
        with open(spec["events"], "w"), open(base + ".json", "w") as f:
            json.dump(spec, f)
        cwd = tempfile.mkdtemp(prefix="cwd-", dir=self.workdir)
        env = dict(os.environ, TMPDIR=cwd)
        env.pop(ENV_ALIAS, None)
        with open(base + ".log", "wb") as log:
            proc = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", WORKER, base + ".json"],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        state = {"current": None, "phase": None, "ended": False, "collected": False}
        try:
            why = self.watch(proc, spec["events"], deadline, state)
        finally:
            end_process_group(proc)
            shutil.rmtree(cwd, ignore_errors=True)
        if why != "done":
            self.blame(why, proc.returncode, read_tail(base + ".log"), state)
        return why, state["current"], state

    def watch(self, proc, events_path, deadline, state):
        """Follow the child's events until it ends or has to be ended; returns why."""
        pos = 0
        tail = b""
        last = time.monotonic()
        while True:
            rc = proc.poll()
            with open(events_path, "rb") as f:
                f.seek(pos)
                data = f.read()
            now = time.monotonic()
            if data:
                pos += len(data)
                last = now
                lines = (tail + data).split(b"\n")
                tail = lines.pop()
                for line in lines:
                    self.event(json.loads(line), state)
            elif rc is not None:
                return "done" if rc == 0 and state["ended"] else "crash"
            if self.opts.stop.is_set() or now > deadline:
                return "budget"
            if now - last > self.opts.test_timeout:
                return "timeout"
            # A file that grows wakes nobody; a child that has been silent for long is looked at less often.
            time.sleep(0.01 if now - last < 1 else 0.1)

    def blame(self, why, rc, log_tail, state):
        """Write down what a child that did not end well was doing."""
        try:
            sig = f" ({signal.Signals(-rc).name})" if rc and rc < 0 else ""
        except ValueError:
            sig = ""
        what = {
            "timeout": f"no progress for {self.opts.test_timeout:g} s",
            "budget": "module time budget used up",
            "crash": f"child process ended with status {rc}{sig}",
        }[why]
        text = f"{what}\n{log_tail}"
        if state["current"] is not None:
            self.set(state["current"], "timeout" if why == "budget" else why, text)
        elif not state["collected"]:
            self.module_status = "import " + why
            self.module_detail = self.module_detail or text
        elif state["ended"]:
            self.notes.append(f"{why} at interpreter exit: {text[-1500:]}")
        else:
            phase = state["phase"] or {}
            self.notes.append(f"{why} in {phase.get('what')} of {phase.get('cls')}: {text[-1500:]}")
            if phase.get("what") == "setUpClass":
                for test_id in self.ids or ():
                    if test_id.startswith(phase["cls"] + ".") and test_id not in self.results:
                        self.set(test_id, "error", f"{why} in setUpClass")

    def set(self, test_id, status, detail="", seconds=None):
        self.results[test_id] = status
        if detail and status not in ("pass",):
            self.details[test_id] = detail
        else:
            self.details.pop(test_id, None)
        if seconds is not None:
            self.times[test_id] = seconds

    def event(self, ev, state):
        kind = ev["ev"]
        if kind == "installed":
            self.report = ev["report"]
        elif kind == "install_fail":
            self.module_status = "package cannot be installed"
            self.module_detail = ev["tb"]
        elif kind == "module_skip":
            self.module_status = "skipped"
            self.module_detail = ev["reason"]
            state["collected"] = True
        elif kind == "import_fail":
            self.module_status = "import failed"
            self.module_detail = ev["tb"]
            state["collected"] = True
        elif kind == "collected":
            state["collected"] = True
            if self.ids is None:
                self.ids = ev["ids"]
            self.keys.update(ev["keys"])
        elif kind == "start":
            state["current"] = ev["id"]
        elif kind == "stop":
            state["current"] = None
            self.set(ev["id"], ev["status"], ev["detail"], ev["time"])
            if ev["altered"]:
                self.altered.append(ev["id"])
            if self.opts.verbose > 1:
                print(f"  {ev['status']:8} {ev['id']} ({ev['time']:.2f}s)", flush=True)
        elif kind == "fixture":
            self.fixture(ev)
        elif kind == "phase":
            state["phase"] = ev
        elif kind == "end":
            state["ended"] = True
            self.stock_loaded.update(ev.get("stock_loaded") or ())

    def fixture(self, ev):
        what, _, rest = ev["id"].partition(" (")
        owner = short_id(rest.rstrip(")"))
        if what in ("setUpClass", "setUpModule"):
            for test_id in self.ids or ():
                if test_id.startswith(owner + ".") and test_id not in self.results:
                    self.set(test_id, ev["status"], f"{what}: {ev['detail']}")
        elif ev["status"] != "skip":
            self.set(f"{owner}.<{what}>", ev["status"], ev["detail"])

    # -- the module ----------------------------------------------------------

    def run(self):
        began = time.monotonic()
        deadline = began + self.opts.timeout
        alone_left = 20
        while not self.opts.stop.is_set():
            before = len(self.results)
            why, culprit, state = self.launch(deadline, exclude=self.results)
            if why == "done" or not state["collected"]:
                break
            if why == "budget":
                self.notes.append(
                    "module time budget used up; the tests that did not get to run count as failed"
                )
                break
            if culprit is not None and alone_left > 0 and time.monotonic() < deadline:
                # Attribute: does the test do this by itself?
                alone_left -= 1
                status, detail = self.results[culprit], self.details.get(culprit, "")
                self.launch(deadline, only=[culprit])
                now = self.results.get(culprit)
                if now in GOOD and status == "crash":
                    self.set(culprit, "crash", "(passes when run alone)\n" + detail)
                elif now in GOOD:
                    self.notes.append(f"{culprit}: {status} in sequence, passes when run alone")
            if state["ended"]:
                break
            if len(self.results) == before:
                self.notes.append("gave up: no progress between two launches")
                break
        for test_id in self.ids or ():
            if test_id not in self.results:
                self.set(test_id, "notrun", "never started")
        self.seconds = time.monotonic() - began
        return self
