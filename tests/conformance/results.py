"""unittest's result and suite classes that tell every step to the parent process as it happens.

A result that is only written at the end is lost when a test kills the process, so each start and stop is
told at once.  Imported only after the package is installed: ``test.support`` may reach asyncio.
"""

import time
import unittest

from baseline import short_id
from test import support


class ReportingResult(unittest.TestResult):
    """Emits ``start`` and ``stop`` for tests, ``fixture`` for failing class and module fixtures."""

    def __init__(self, emit):
        super().__init__()
        self.emit = emit
        self.cur = None
        self.began = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.cur = {"skip": None, "bad": None, "ok": None, "detail": ""}
        self.began = time.monotonic()
        support.environment_altered = False
        self.emit("start", id=short_id(test.id()))

    def stopTest(self, test):
        super().stopTest(test)
        cur = self.cur
        if cur is None:
            return
        status = cur["bad"] or cur["ok"] or cur["skip"] or "error"
        detail = cur["detail"]
        if status == "error" and not detail:
            detail = "no outcome was reported"
        self.emit(
            "stop",
            id=short_id(test.id()),
            status=status,
            detail=detail,
            time=round(time.monotonic() - self.began, 3),
            altered=bool(support.environment_altered),
        )
        support.environment_altered = False
        self.cur = None

    def _text(self, err, test):
        text = self._exc_info_to_string(err, test)
        return text if len(text) < 6000 else text[:2500] + "\n[...]\n" + text[-3000:]

    def _fixture(self, test, status, text):
        self.emit("fixture", id=test.id(), status=status, detail=text)

    def _bad(self, test, kind, text):
        if self.cur is None:
            self._fixture(test, kind, text)
            return
        if self.cur["bad"] is None or kind == "error":
            self.cur["bad"] = kind
        self.cur["detail"] += text

    def addError(self, test, err):
        self._bad(test, "error", self._text(err, test))

    def addFailure(self, test, err):
        self._bad(test, "fail", self._text(err, test))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            kind = "fail" if issubclass(err[0], test.failureException) else "error"
            self._bad(test, kind, str(subtest) + "\n" + self._text(err, test))

    def addSkip(self, test, reason):
        if self.cur is None and isinstance(test, unittest.TestCase):
            self.startTest(test)  # 3.12.1 does not (gh-113267)
        if self.cur is None:
            self._fixture(test, "skip", reason)
            return
        self.cur["skip"] = "skip"
        self.cur["detail"] += str(reason)

    def addSuccess(self, test):
        self.cur["ok"] = "pass"

    def addExpectedFailure(self, test, err):
        self.cur["ok"] = "xfail"

    def addUnexpectedSuccess(self, test):
        self._bad(test, "fail", "unexpected success")


class ReportingSuite(unittest.TestSuite):
    """Emits ``phase`` before class fixtures: a death in one is told from a death in a test."""

    def __init__(self, tests, emit):
        super().__init__(tests)
        self.emit = emit

    def _phase(self, what, cls):
        self.emit("phase", what=what, cls=short_id(f"{cls.__module__}.{cls.__qualname__}"))

    def _handleClassSetUp(self, test, result):
        cls = test.__class__
        if cls is not getattr(result, "_previousTestClass", None):
            self._phase("setUpClass", cls)
        return super()._handleClassSetUp(test, result)

    def _tearDownPreviousClass(self, test, result):
        cls = getattr(result, "_previousTestClass", None)
        if cls is not None and cls is not test.__class__:
            self._phase("tearDownClass", cls)
        return super()._tearDownPreviousClass(test, result)
