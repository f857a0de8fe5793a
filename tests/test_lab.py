"""The lab is right: its sockets are in the states it says, and the oracles agree."""

from __future__ import annotations

import collections
import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab import namespaces, oracles, states
from lab.churn import churn
from lab.names import TYPES
from lab.states import PLAN, StateLab, state_lab

pytestmark = pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-")


def test_every_state_is_planned_and_no_two_groups_are_equal(fresh: StateLab) -> None:
    # Linux never shows a TCP socket in CLOSE.
    statuses = {*oracles._PROC_STATUS.values()} - {"CLOSE"}
    tcp = {(kind, status) for kind in ("tcp", "tcp6") for status in statuses}
    assert set(fresh.expected) == tcp | {("udp", "NONE"), ("udp6", "NONE")}
    assert len(set(fresh.expected.values())) == len(fresh.expected)


def test_proc_net_shows_what_is_expected(fresh: StateLab) -> None:
    assert oracles.counts(oracles.read_proc_net(fresh.ns)) == fresh.counts


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_ss_shows_what_is_expected(fresh: StateLab, user: str) -> None:
    assert oracles.counts(oracles.read_ss(fresh.ns, user=user)) == fresh.counts


@pytest.mark.skipif(importlib.util.find_spec("psutil") is None, reason="psutil is not installed")
def test_psutil_shows_what_is_expected(fresh: StateLab) -> None:
    assert oracles.read_psutil(fresh.ns, sys.executable) == fresh.counts


def test_proc_net_and_ss_agree_on_every_field(fresh: StateLab) -> None:
    def comparable(rows: list[oracles.Row]) -> list[oracles.Row]:
        return sorted(row._replace(tx=0) if row.status == "LISTEN" else row for row in rows)

    assert comparable(oracles.read_ss(fresh.ns)) == comparable(oracles.read_proc_net(fresh.ns))


def test_proc_net_shows_nobody_the_same(fresh: StateLab) -> None:
    rows = [
        row
        for kind in TYPES
        for row in oracles.parse_proc_net(
            kind, namespaces.run(fresh.ns, ["cat", f"/proc/net/{kind}"], user="nobody").stdout
        )
    ]
    assert sorted(rows) == sorted(oracles.read_proc_net(fresh.ns))


def test_ss_passes_a_filter_on(fresh: StateLab) -> None:
    rows = oracles.read_ss(fresh.ns, ["dport", "=", ":9001"])
    assert oracles.counts(rows) == {"tcp_SYN_SENT": 18, "tcp6_SYN_SENT": 19}


def test_every_state_is_also_held_with_a_mapped_address(fresh: StateLab) -> None:
    mapped = [
        (row.type, row.status)
        for row in oracles.read_proc_net(fresh.ns)
        if "::ffff:192.0.2.2" in row.remote
    ]
    connected = set(PLAN) - {"LISTEN", "NONE"}
    assert sorted(mapped) == sorted([("udp6", "NONE")] + [("tcp6", name) for name in connected])


def test_three_listeners_share_a_port(fresh: StateLab) -> None:
    listening = collections.Counter(
        (row.type, row.local) for row in oracles.read_proc_net(fresh.ns) if row.status == "LISTEN"
    )
    shared = [key[0] for key, number in listening.items() if number == 3]
    assert sorted(shared) == ["tcp", "tcp6"]
    assert set(listening.values()) == {1, 3}


@pytest.mark.parametrize(("kind", "ask"), [("tcp", "-4"), ("tcp6", "-6")])
def test_some_fin_wait2_are_minisocks_held_or_orphaned(
    fresh: StateLab, kind: str, ask: str
) -> None:
    lines = namespaces.run(fresh.ns, ["ss", "-Htnoe", ask, "state", "fin-wait-2"]).stdout.split(
        "\n"
    )
    minisocks = [line for line in lines if "timer:(timewait" in line]
    # ss leaves the inode out of a full socket that has none.
    held = [line for line in lines if "ino:" in line and "ino:0" not in line]
    total = fresh.expected[kind, "FIN_WAIT2"]
    assert len(minisocks) == fresh.minisocks[kind]
    assert 0 < len(held) < total - len(minisocks)


def test_another_process_of_another_user_keeps_some(fresh: StateLab) -> None:
    rows = [row for row in oracles.read_proc_net(fresh.ns) if row.uid == namespaces.NOBODY]
    assert collections.Counter((row.type, row.status) for row in rows) == fresh.kept
    lines = namespaces.run(fresh.ns, ["ss", "-Htunaep"]).stdout.splitlines()
    theirs = [line for line in lines if f"uid:{namespaces.NOBODY}" in line]
    owners = [re.findall(r"pid=(\d+)", line) for line in theirs]
    assert owners == [[str(fresh.keeper_pid)]] * len(rows)


def test_refresh_replaces_the_minisocks_and_nothing_else(fresh: StateLab) -> None:
    def others() -> list[oracles.Row]:
        rows = oracles.read_proc_net(fresh.ns)
        return sorted(row for row in rows if row.status not in ("TIME_WAIT", "FIN_WAIT2"))

    def seconds_left() -> list[int]:
        lines = namespaces.run(fresh.ns, ["ss", "-Htano"]).stdout.split("timer:(timewait,")[1:]
        return [int(line.split("sec")[0]) for line in lines]

    before = others()
    time.sleep(2.1)
    assert max(seconds_left()) < 59
    for _ in range(3):
        fresh.refresh()
    assert min(seconds_left()) >= 58
    assert others() == before
    assert oracles.counts(oracles.read_ss(fresh.ns)) == fresh.counts


@pytest.mark.skipif(bool(states.missing()), reason=states.missing() or "-")
def test_closing_leaves_nothing_that_keeps_the_namespace_alive() -> None:
    with state_lab() as lab:
        lab.close()
        deadline = time.monotonic() + 5
        for ns in (lab.ns, lab.peer_ns):
            while rows := [row for row in oracles.read_proc_net(ns) if row.status != "TIME_WAIT"]:
                assert time.monotonic() < deadline, rows
                time.sleep(0.01)


def test_a_failure_inside_leaves_nothing_behind() -> None:
    with pytest.raises(KeyError), namespaces.pair() as made:
        left = subprocess.Popen(namespaces.command(made.a, ["sleep", "60"]))
        namespaces.run(made.a, ["true"])
        while str(left.pid) not in namespaces.run(None, ["ip", "netns", "pids", made.a]).stdout:
            time.sleep(0.01)
        raise KeyError
    assert left.wait(5) == -9
    assert not {made.a, made.b} & set(namespaces.run(None, ["ip", "netns"]).stdout.split())


def test_inside_comes_back() -> None:
    def current() -> int:
        return Path("/proc/thread-self/ns/net").stat().st_ino

    home = current()
    with namespaces.pair() as made:
        with pytest.raises(KeyError), namespaces.inside(made.a):
            there = current()
            raise KeyError
        assert there != home
    assert current() == home


def test_nobody_is_nobody() -> None:
    with namespaces.pair() as made:
        assert namespaces.run(made.a, ["id", "-ru"]).stdout == "0\n"
        assert namespaces.run(made.a, ["id", "-ru"], user="nobody").stdout == "65534\n"
        assert namespaces.run(made.a, ["id", "-G"], user="nobody").stdout == "65534\n"


def test_churn_goes_on_next_to_stable_connections() -> None:
    with namespaces.pair() as made, churn(made.a, seconds=1, stable=50) as going:
        seen = 0
        while going.running():
            # Not /proc/net: it may miss a row while others come and go.
            found = oracles.counts(oracles.read_ss(made.a))
            missed = {key for key, least in going.stable.items() if found.get(key, 0) < least}
            assert not missed
            seen += 1
        assert seen > 0
        assert going.stop() > 1000
        assert oracles.counts(oracles.read_ss(made.a)).keys() <= {"tcp_TIME_WAIT", "tcp6_TIME_WAIT"}
