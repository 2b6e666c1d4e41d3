"""`.ci/release_notes.py`: what has to be written down before a tag becomes a release."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / ".ci"))

from release_notes import notes

LOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2030-01-31

### Added

- This.

## [1.1.0] - 2029-01-31

- That.
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "Cargo.toml").write_text('[workspace.package]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(LOG)
    return tmp_path


def test_the_section_of_the_version(root):
    assert notes("v1.2.0", root) == "### Added\n\n- This."


@pytest.mark.parametrize("tag", ["v1.1.0", "1.2.0", "v1.2.1"])
def test_a_tag_of_another_version(root, tag):
    with pytest.raises(ValueError, match=r"Cargo\.toml has version 1\.2\.0"):
        notes(tag, root)


@pytest.mark.parametrize(
    "change",
    [
        ("## [1.2.0] - 2030-01-31", "## [1.2.0]"),
        ("### Added\n\n- This.\n", ""),
        ("## [1.2.0] - ", "## [1.3.0] - "),
    ],
)
def test_a_version_that_is_not_written_down(root, change):
    (root / "CHANGELOG.md").write_text(LOG.replace(*change))
    with pytest.raises(ValueError, match="has no section"):
        notes("v1.2.0", root)
