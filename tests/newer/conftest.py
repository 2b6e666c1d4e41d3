"""Which of the newer asyncio's ways the implementation under test has."""

import sys

import pytest


@pytest.fixture
def since(impl):
    """Call it with the Python whose asyncio has what a test is about: stock's is not asked on older ones."""

    def check(*version):
        if impl == "stock" and sys.version_info < version:
            pytest.skip(f"this Python's asyncio is older than {'.'.join(map(str, version))}")

    return check
