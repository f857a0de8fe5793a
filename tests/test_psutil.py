"""`network_connections.psutil` answers what psutil answers root, socket by socket."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psutil as original
import pytest
from harness import PATIENCE, python
from lab import namespaces
from lab.owners import OwnedLab
from lab.states import StateLab
from network_connections import psutil

KINDS = ("inet", "inet4", "inet6", "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6")

# psutil reads /proc/net of the process, so that each answer comes from a process in the namespace.
# The original is asked before and after.
_ASK = """
import pickle, sys
import psutil as original
from network_connections import psutil
kind = sys.argv[1]
answers = [module.net_connections(kind) for module in (original, psutil, original)]
shown = [sorted(map(repr, answer)) for answer in answers]
sys.stdout.buffer.write(pickle.dumps(shown))
"""


def ask(ns: str, kind: str) -> list[list[str]]:
    line = namespaces.command(ns, [sys.executable, "-I", "-c", _ASK, kind])
    done = subprocess.run(line, capture_output=True, timeout=PATIENCE, check=True)
    shown: list[list[str]] = pickle.loads(done.stdout)  # noqa: S301
    return shown


def same(ns: str, refresh: Callable[[], None], kind: str) -> list[str]:
    """Ask both until nothing has changed in between, and return what both answer."""
    for _ in range(20):
        refresh()
        before, found, after = ask(ns, kind)
        if before == after:
            assert found == before
            return found
    raise AssertionError("the sockets never stand still")


@pytest.mark.parametrize("kind", KINDS)
def test_every_state(lab: StateLab, kind: str) -> None:
    found = same(lab.ns, lab.refresh, kind)
    assert len(found) > 10
    if kind == "tcp":
        missing = [
            name
            for name in psutil.__all__
            if name.startswith("CONN_")
            and name not in ("CONN_CLOSE", "CONN_NONE")
            and not any(f"status='{getattr(psutil, name)}'" in one for one in found)
        ]
        assert missing == []


def test_processes_and_descriptors(owned: OwnedLab) -> None:
    found = same(owned.ns, owned.states.refresh, "inet")
    # Some sockets have several processes, and some have none.
    assert any("pid=None" in one for one in found)
    assert len({one.rpartition("pid=")[2] for one in found}) > 2


def test_names_and_constants_are_those_of_psutil() -> None:
    for name in psutil.__all__:
        if name.startswith("CONN_"):
            assert getattr(psutil, name) == getattr(original, name)
    assert {type(one) for one in psutil.net_connections()} <= {psutil.sconn}
    assert psutil.sconn._fields == ("fd", "family", "type", "laddr", "raddr", "status", "pid")
    assert psutil.addr._fields == ("ip", "port")
    assert issubclass(psutil.AccessDenied, psutil.Error)


@pytest.mark.parametrize("kind", ["unix", "all"])
def test_unix_sockets_are_not_listed(kind: str) -> None:
    asked: dict[str, Any] = {"kind": kind}
    with pytest.raises(NotImplementedError, match=kind):
        psutil.net_connections(**asked)


@pytest.mark.parametrize("kind", ["", "TCP", "sctp", 5, None])
def test_other_kinds_are_value_errors(kind: object) -> None:
    asked: dict[str, Any] = {"kind": kind}
    for module in (original, psutil):
        with pytest.raises(ValueError, match="invalid kind argument"):
            module.net_connections(**asked)


def test_psutil_itself_is_not_needed() -> None:
    script = """
import sys
sys.modules["psutil"] = None
from network_connections import psutil
print(type(psutil.net_connections()))
"""
    done = python(script)
    assert (done.stdout, done.stderr, done.returncode) == ("<class 'list'>\n", "", 0)
