"""A skipped test says why, and what to install; where everything can run, it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import harness
import pytest
import shares
from lab import tools

TESTS = """
import pytest
from lab.tools import lacking
def test_runs():
    pass
@pytest.mark.skipif(True, reason="by a mark")
def test_mark():
    pass
def test_call():
    pytest.skip("by a call")
@pytest.fixture
def fixture():
    pytest.skip("by a fixture")
def test_fixture(fixture):
    pass
@pytest.mark.skipif(bool(lacking("strace", "nft")), reason=lacking("strace", "nft") or "-")
def test_tools():
    pass
@pytest.mark.parametrize("number", range(3))
def test_a_tool(number):
    if reason := lacking("ss"):
        pytest.skip(reason)
@pytest.mark.xfail(reason="expected")
def test_xfail():
    assert False
"""
MODULE = """
import pytest
pytest.skip("for a whole module", allow_module_level=True)
"""


@pytest.mark.parametrize(
    ("forbidden", "outcome", "code"),
    [
        ("", "1 passed, 8 skipped, 1 xfailed", 0),
        ("1", "4 failed, 1 passed, 1 xfailed, 4 errors", 1),
    ],
)
@pytest.mark.parametrize("workers", ["-n0", *shares.slow("-n2")])
def test_skips(forbidden: str, outcome: str, code: int, workers: str, tmp_path: Path) -> None:
    conftest = harness.ROOT / "tests" / "conftest.py"
    for name, text in (
        ("conftest.py", conftest.read_text(encoding="utf-8")),
        ("test_some.py", TESTS),
        ("test_module.py", MODULE),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    options = ["-q", "-ra", "-p", "no:cacheprovider", "--continue-on-collection-errors", workers]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=harness.PATIENCE,
        check=False,
        cwd=tmp_path,
        env={
            **os.environ,
            "NETWORK_CONNECTIONS_NO_SKIP": forbidden,
            "PYTHONPATH": str(conftest.parent),
            "PATH": "",
        },
    )
    assert f"{outcome} in " in done.stdout
    assert done.returncode == code
    for reason in ("by a mark", "by a call", "by a fixture", "for a whole module", "strace, nft"):
        assert reason in done.stdout
    # It ends with what to do, once: what is not skipped needs nothing.
    line = "To run the skipped tests too: apt-get install iproute2 nftables strace"
    last, _ = done.stdout.splitlines()[-2:]
    assert (last == line) == (forbidden == "")
    assert done.stdout.count("To run the skipped tests") == (forbidden == "")


def test_nothing_is_to_be_installed_where_nothing_is_missing() -> None:
    assert tools.lacking("/", "/etc") == ""
    assert tools.packages(["by a mark", "network namespaces need root"]) == []
