"""While others come and go: no error, and no TCP connection or namespace is missed that stays."""

from __future__ import annotations

import collections
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import page
import pytest
import shares
from asking import SOURCES, USERS, Asker, asker
from harness import Command
from lab import namespaces, oracles
from lab.churn import Churn, churn
from lab.owners import private

pytestmark = pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-")

SHORT, LONG = 2, 20
# What the kernel may do to a reader of /proc or of UDP, as a part of the sockets that stay.
MOST = 0.1


@dataclass
class Tally:
    """What readings that should each show so many sockets that stay have shown."""

    protocol: str
    stable: int
    missed: list[int] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)

    def row(self) -> list[str]:
        """Return it for the table."""
        cells = [self.protocol, f"{self.stable:,}", f"{len(self.missed):,}"]
        for wrong in (self.missed, self.twice):
            cells += [f"{sum(map(bool, wrong)):,}", f"{max(wrong):,}"]
        return cells


@dataclass(frozen=True)
class Reading:
    """A call whose groups show each socket that stays, and how many of them there are."""

    keywords: dict[str, Any]
    expected: Mapping[str, int]
    tally: Tally

    def take(self, counts: Mapping[str, int]) -> None:
        """Compare one answer."""
        off = [counts.get(label, 0) - number for label, number in self.expected.items()]
        self.tally.missed.append(sum(-number for number in off if number < 0))
        self.tally.twice.append(sum(number for number in off if number > 0))


@pytest.mark.parametrize("source", SOURCES)
@shares.number("seconds", SHORT, LONG)
def test_what_stays_is_counted_while_others_come_and_go(
    nobodys: Mapping[str, Command], source: str, seconds: int
) -> None:
    with namespaces.pair() as made, churn(made.a, seconds) as going:
        readings = list(_readings(_staying(made.a, going), source))
        with asker(made.a, "root", nobodys) as root:
            rounds = 0
            while going.running() or not rounds:
                _ask(root, readings)
                # Python starts slowly.
                for way in ("native", "python")[: 1 + (rounds % 8 == 0)]:
                    _assert_fine(root, way, source, going.stable)
                rounds += 1
        opened = going.stop()
    tallies = [reading.tally for reading in readings[::2]]
    for tally in tallies:
        assert max(tally.missed) <= _may_miss(tally.protocol, source) * tally.stable
        assert max(tally.twice) <= MOST * tally.stable
    if seconds != LONG:
        return
    head = ("sockets", "that stay", "readings", "missed any", "at most", "had any twice", "at most")
    _keep(source, opened, page.table(head, [tally.row() for tally in tallies]))


def _keep(source: str, opened: int, table: str) -> None:
    """Write or compare what the page says of a source."""
    rate = round(opened / LONG, -2)
    page.keep(
        f"churn, {source}",
        f"\n{rate:,.0f} connections were opened and closed per second:\n\n{table}\n",
        page.without_figures,
    )


@shares.number("seconds", SHORT, LONG)
def test_what_the_counters_leave_while_others_come_and_go(
    nobodys: Mapping[str, Command], seconds: int
) -> None:
    """They have no ports: what comes and goes is always among what stays."""
    fewer: dict[str, list[int]] = collections.defaultdict(list)
    with namespaces.pair() as made, churn(made.a, seconds) as going:
        stable = dict(going.stable)
        with asker(made.a, "root", nobodys) as root:
            while going.running():
                (counts,) = root.api([("count_connections", {"source": "counters"})])
                assert "error" not in counts, counts
                for label, number in stable.items():
                    fewer[label].append(max(0, number - counts.get(label, 0)))
        opened = going.stop()
    for label, off in fewer.items():
        assert max(off) <= MOST * stable[label]
    if seconds != LONG:
        return
    rows = [
        [label, f"{stable[label]:,}", f"{len(off):,}", str(sum(map(bool, off))), str(max(off))]
        for label, off in fewer.items()
    ]
    head = ("group", "sockets that stay", "readings", "too few", "by at most")
    _keep("counters", opened, page.table(head, rows))


# Namespaces that stay beside namespaces, mounts, processes and sockets that come and go, and a
# check that looks at them, in a PID namespace of its own: other tests have namespaces, too.
CROWD = r"""
import json, os, socket, subprocess, sys, threading, time
looks, user, *check = sys.argv[1:]
stay, ports = 8, range(7000, 7004)
held = "import socket, sys\nmade = []\nfor port in range(7000, 7004):\n" \
    "    made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))\n" \
    "    made[-1].bind(('0.0.0.0', port))\nprint(flush=True)\nsys.stdin.read()"
pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
staying = [
    subprocess.Popen(["unshare", "--net", sys.executable, "-c", held], **pipe) for _ in range(stay)
]
for process in staying:
    process.stdout.readline()
nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
stop = threading.Event()

def again(*line):
    while not stop.is_set():
        subprocess.run(line, check=True)

def sockets():
    while not stop.is_set():
        made = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
        for one in made:
            one.close()
        time.sleep(0.001)

passing = [
    ["unshare", "--net", "true"],
    ["unshare", "--net", "sleep", "0.003"],
    [*nobody, "unshare", "--user", "--map-root-user", "--net", "sh", "-c", "true; true"],
]
if user == "root":
    # Nobody may not enter a namespace that is only mounted.
    open("ns", "w").close()
    passing.append(["sh", "-ec", "unshare --net=ns true; umount --lazy ns"])
threads = [threading.Thread(target=again, args=line) for line in passing]
threads.append(threading.Thread(target=sockets))
for thread in threads:
    thread.start()
who = nobody if user == "nobody" else []
total = stay * len(ports)
count = ["--group-by=local-port", "--local-port=7000-7003", "-c", f"total={total}:{total}"]
measures = [count, ["--measure=ephemeral-ports"], count] if user == "root" else [count]
wrong = []
try:
    for look in range(int(looks)):
        asked = [*who, *check, "--netns=all", "--format=json", *measures[look % len(measures)]]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        report = json.loads(done.stdout)
        right = {"state": 0, "unseen": 0}
        found = {"state": report["state"], "unseen": report.get("netns", {}).get("unseen")}
        if "-c" in asked:
            right["total"], found["total"] = total, report.get("total")
        if found != right:
            wrong.append(report)
finally:
    stop.set()
    for thread in threads:
        thread.join()
    for process in staying:
        process.communicate()
print(json.dumps(wrong))
"""


@pytest.mark.parametrize("user", USERS)
@shares.number("looks", 60, 1600)
def test_namespaces_that_stay_are_counted_while_others_come_and_go(
    nobodys: Mapping[str, Command], tmp_path: Path, user: str, looks: int
) -> None:
    others = "grep ' - nsfs ' /proc/self/mountinfo | cut -d' ' -f5"
    # A test that deletes its namespace takes the mount away here, too.
    umount = f"for mount in $({others}); do umount $mount 2> /dev/null || :; done"
    umount += f'; test -z "$({others})"'
    alone = ["unshare", "--pid", "--fork", "--mount-proc", *private(umount)]
    # Process 1 waits for those whose parents have ended.
    check = [*alone, "sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", CROWD]
    done = subprocess.run(
        [*check, str(looks), user, *nobodys["native"].argv, "--timeout=60"],
        stdout=subprocess.PIPE,
        check=True,
        cwd=tmp_path,
        timeout=1800,
    )
    assert json.loads(done.stdout) == []


def _staying(ns: str, going: Churn) -> list[oracles.Row]:
    """Find the sockets that stay: those that ss shows twice, others live for milliseconds."""

    def shown() -> dict[tuple[object, ...], oracles.Row]:
        return {
            (row.type, row.local, row.remote, row.inode): row
            for row in oracles.read_ss(ns)
            if row.status in ("ESTABLISHED", "NONE")
        }

    # ss asks netlink and may miss a UDP socket, too.
    for _ in range(10):
        before = shown()
        time.sleep(0.5)
        after = shown()
        rows = [row for socket, row in before.items() if socket in after]
        if oracles.counts(rows) == going.stable:
            break
    assert oracles.counts(rows) == going.stable
    return rows


def _may_miss(kind: str, source: str) -> float:
    """Return which part of the sockets that stay a reading may miss.

    Where a dump of UDP goes on after a datagram, the kernel only knows how many of a chain it has
    shown (`udp_dump` in net/ipv4/udp_diag.c): one that is closed meanwhile takes another with it.
    """
    return 0 if source == "netlink" and kind.lower().startswith("tcp") else MOST


def _readings(staying: list[oracles.Row], source: str) -> Iterator[Reading]:
    """Look at the sockets that stay so that hardly any others are shown: two ways a protocol."""
    # Half of them share the server's port at this end, half at the other. Nobody else has it.
    tcp = [row for row in staying if row.type.startswith("tcp")]
    tally = Tally("TCP", len(tcp) // 2)
    for end, statuses, ports in (
        ("local-port", "established", collections.Counter(str(row.local[1]) for row in tcp)),
        ("remote-port", "all", collections.Counter(str(row.remote[1]) for row in tcp)),
    ):
        servers = {port: number for port, number in ports.items() if number > 2}
        assert sum(servers.values()) == tally.stable
        keywords = {"types": ("tcp", "tcp6"), "statuses": statuses, "group_by": end}
        yield Reading({**keywords, "source": source}, servers, tally)
    # Every one has a port of its own at its address.
    udp = [row for row in staying if row.type.startswith("udp")]
    tally = Tally("UDP", len(udp) // 2)
    for kind, host in (("udp", "127.0.0.1"), ("udp6", "::1")):
        ports = collections.Counter(str(row.local[1]) for row in udp if row.type == kind)
        keywords = {"types": (kind,), "local_address": host, "group_by": "local-port"}
        yield Reading({**keywords, "source": source}, ports, tally)


def _ask(root: Asker, readings: Sequence[Reading]) -> None:
    answers = root.api([("count_connections", reading.keywords) for reading in readings])
    for reading, counts in zip(readings, answers):
        assert "error" not in counts, counts
        reading.take(counts)


def _assert_fine(root: Asker, way: str, source: str, stable: Mapping[str, int]) -> None:
    done = root.run(way, f"--source={source}")
    assert (done.returncode, done.stderr) == (0, ""), done
    found = {label: int(number) for label, number in re.findall(r"'(\w+)'=(\d+)", done.stdout)}
    for group, number in stable.items():
        assert found[group] >= (1 - _may_miss(group, source)) * number, done
