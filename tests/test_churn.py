"""While connections come and go: no error, and no TCP connection is missed that stays."""

from __future__ import annotations

import collections
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import page
import pytest
import shares
from asking import SOURCES, Asker, asker
from harness import Command
from lab import namespaces, oracles
from lab.churn import Churn, churn

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
