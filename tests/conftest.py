"""Fixtures and hypothesis's profile for every test below this directory; warnings are errors by pyproject.toml."""

import signal

import implementation
import pytest
import random_scripts

# A shell starts background jobs with SIGINT ignored, and a program started by a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

random_scripts.load_profile()


@pytest.fixture(scope="session")
def impl():
    """Name of the implementation under test: ``FERRIO_TEST_IMPL``, or ferrio; ``stock`` is the interpreter's."""
    return implementation.chosen()
