"""What a release needs to agree."""

from __future__ import annotations

import sys

import harness

sys.path.insert(0, str(harness.ROOT / "tools"))

import release


def test_the_version_is_the_same_everywhere() -> None:
    assert list(release.inconsistent()) == []
