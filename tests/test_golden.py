"""Recorded command lines get the recorded answers, byte for byte."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import harness
import pytest
import reference
import shares
from conftest import Place
from harness import PYTHON_WAYS, Command, Done, golden
from network_connections import plugin

# What follows `--` is no option any more: there the recorded `--test` was a stray word, and what
# was counted were the sockets of the host that recorded.
RECORDED = golden()
FROM_FIXTURE = [case for case in RECORDED if "--" not in case["args"]]
FROM_HOST = [case for case in RECORDED if "--" in case["args"]]


def test_there_are_500() -> None:
    assert len(FROM_FIXTURE) + len(FROM_HOST) == 500
    assert FROM_HOST


# Python starts slowly; tests/test_interpreters.py runs all of them in one process.
@pytest.mark.parametrize(
    ("command", "share"),
    [
        ("native", shares.ALL),
        *((way, slice(None, None, 25)) for way in PYTHON_WAYS),
        *shares.slow(*((way, shares.ALL) for way in PYTHON_WAYS)),
    ],
    indirect=["command"],
)
def test_recorded_fixtures(command: Command, share: slice) -> None:
    assert not mismatches(command, FROM_FIXTURE[share], [])


def test_recorded_host(command: Command, one_listener: Place) -> None:
    assert not mismatches(command, FROM_HOST, one_listener.before)


def mismatches(command: Command, cases: list[dict[str, Any]], before: list[str]) -> list[str]:
    def compare(case: dict[str, Any]) -> str | None:
        test = command.fixture(case["fixture"], f"stdout/{case['id']}")
        done = command.run(*case["args"], test, before=before)
        expected = Done(case["stdout"], "", case["returncode"]) if case["exact"] else None
        done = Done(harness.as_the_reference(done.stdout), done.stderr, done.returncode)
        if done == expected or (expected is None and done.returncode == case["returncode"]):
            return None
        return f"{case['id']} {case['args']}: {done}, expected {expected or case['returncode']}"

    with ThreadPoolExecutor(4) as pool:
        return [difference for difference in pool.map(compare, cases) if difference]


def test_parse_args_reads_what_plain_argparse_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = reference.reference_parser()
    read = 0
    for case in RECORDED:
        monkeypatch.setattr(sys, "argv", ["network-connections", "--test=first,,0", *case["args"]])
        expected = reference.read(parser, sys.argv[1:])
        if expected is None:
            with pytest.raises(SystemExit):
                plugin.parse_args()
        else:
            values = vars(plugin.parse_args())
            assert {name: values[name] for name in expected[0]} == expected[0], case["id"]
            read += 1
    assert read > 400
