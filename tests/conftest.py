"""Fixtures and hypothesis's profile for every test below this directory; warnings are errors by pyproject.toml."""

import implementation
import pytest
import random_scripts

random_scripts.load_profile()


@pytest.fixture(scope="session")
def impl():
    """Name of the implementation under test (``FERRIO_TEST_IMPL``, default ferrio)."""
    return implementation.chosen()
