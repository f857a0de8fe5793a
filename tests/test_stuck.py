"""`--stuck`, `--measure=stuck` and `--list`: connections that are stuck, and for how long."""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import harness
import network_connections
import pytest
from asking import USERS
from conftest import Tampered
from harness import Command, Done, one_line
from lab import namespaces
from lab.namespaces import Pair

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
# Every stuck connection has been stuck at least so long when the tests look.
OLD = 4
HALF, UNREAD, SILENT, NOT_READING = "half-closed", "unread", "silent-peer", "peer-not-reading"


@dataclass(frozen=True)
class Case:
    """A connection of the lab, by the local port of its end in `a`."""

    kind: str | None
    # When it began, by the clock of `time.monotonic`; 0 where only bounds are known.
    since: float = 0
    meaning: str = ""


@dataclass
class Lab:
    """Connections in every kind of trouble, in the namespace `a` of a pair."""

    pair: Pair
    cases: dict[int, Case] = field(default_factory=dict)
    held: list[socket.socket] = field(default_factory=list)
    begun: float = 0
    # For how long the peer of the connections that are kept alive had been closed, at the least.
    closed_after: float = OLD + 4

    def cut(self, ports: list[int]) -> None:
        """Let `b` drop what concerns these ports of `a`, as a firewall that has forgotten them."""
        listed = ",".join(map(str, ports))
        rules = f"""
            add table inet cut
            add chain inet cut input {{ type filter hook input priority 0; }}
            add rule inet cut input tcp sport {{ {listed} }} drop
        """
        namespaces.run(self.pair.b, ["nft", "-f", "-"], stdin=rules)


def connected(lab: Lab, family: int, port: int) -> tuple[socket.socket, socket.socket]:
    """Return the end of a connection in `a`, which listens at a port, and the end in `b`."""
    address = lab.pair.a4 if family == 4 else lab.pair.a6
    with namespaces.inside(lab.pair.a), socket.socket(FAMILIES[family]) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        with namespaces.inside(lab.pair.b):
            theirs = socket.create_connection((address, port), timeout=10)
        ours, _ = listener.accept()
    lab.held += [ours, theirs]
    return ours, theirs


def keep_alive(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1)):
        end.setsockopt(socket.IPPROTO_TCP, option, value)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 120)


def fill(end: socket.socket) -> None:
    """Send until there is room for nothing more, nor for the peer's acknowledgement of it."""
    end.setblocking(False)
    last = time.monotonic()
    while time.monotonic() - last < 0.5:
        with contextlib.suppress(BlockingIOError):
            while True:
                end.send(b"x" * 65536)
                last = time.monotonic()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with namespaces.pair() as pair:
        made = Lab(pair)
        ends = {}
        for family, base in ((4, 7400), (6, 7600)):
            for number in range(11):
                ends[base + number] = connected(made, family, base + number)
        made.begun = time.monotonic()
        for base in (7400, 7600):
            keep_alive(ends[base + 5][0])
            keep_alive(ends[base + 8][0])
            for port in (base, base + 8):
                ends[port][1].send(b"x")
                assert ends[port][0].recv(1) == b"x"
        # What follows is told apart from the beginning of the connections.
        time.sleep(2.5)
        for base in (7400, 7600):
            cases = made.cases
            ours, theirs = ends[base]
            theirs.close()
            cases[base] = Case(HALF, time.monotonic(), "end of file read, not closed")
            assert ours.recv(1) == b""
            _, theirs = ends[base + 1]
            theirs.close()
            cases[base + 1] = Case(HALF, time.monotonic(), "end of file not read")
            _, theirs = ends[base + 2]
            theirs.send(b"12345")
            cases[base + 2] = Case(UNREAD, time.monotonic(), "data not read")
            # Both, and the data has waited longer.
            _, theirs = ends[base + 3]
            theirs.send(b"12345")
            cases[base + 3] = Case(UNREAD, time.monotonic(), "data not read")
            # The peer holds its end open, and answers keepalive probes.
            ours, theirs = ends[base + 8]
            theirs.shutdown(socket.SHUT_WR)
            cases[base + 8] = Case(HALF)
            # Nobody is stuck.
            cases[base + 6] = Case(None)
            ours, _ = ends[base + 7]
            ours.shutdown(socket.SHUT_WR)
            cases[base + 7] = Case(None)
        time.sleep(1.2)
        for base in (7400, 7600):
            ends[base + 3][1].close()
            fill(ends[base + 9][0])
            made.cases[base + 9] = Case(NOT_READING, 0, "peer's window is closed")
            fill(ends[base + 10][1])
            made.cases[base + 10] = Case(UNREAD, 0, "data not read")
        made.cut([base + number for base in (7400, 7600) for number in (4, 5, 11)])
        for base in (7400, 7600):
            ends[base + 4][0].send(b"x")
            made.cases[base + 4] = Case(SILENT, time.monotonic(), "retransmissions")
            made.cases[base + 5] = Case(SILENT, 0, "keepalive probes")
        # A peer that is asked for a connection and does not answer.
        for family, base in ((4, 7400), (6, 7600)):
            with namespaces.inside(pair.a):
                asking = socket.socket(FAMILIES[family])
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asking.setblocking(False)
            asking.bind((pair.a4 if family == 4 else pair.a6, base + 11))
            with contextlib.suppress(BlockingIOError):
                asking.connect((pair.b4 if family == 4 else pair.b6, 9))
            made.held.append(asking)
            made.cases[base + 11] = Case(SILENT, 0, "requests")
        time.sleep(OLD + 4)
        yield made
        for end in made.held:
            end.close()


def ask(lab: Lab, native: Command, *options: str) -> Done:
    with namespaces.inside(lab.pair.a):
        return native.run(*options)


def listed(lab: Lab, native: Command, *options: str) -> dict[int, dict[str, Any]]:
    done = ask(lab, native, "--list", "--top=500", "--format=json", *options)
    assert (done.stderr, done.returncode) == ("", 0), done
    return {one["local_port"]: one for one in json.loads(done.stdout)}


def of_kind(lab: Lab, kind: str) -> set[int]:
    """Return the local ports of the connections of a kind."""
    both = {7403, 7603} if kind == HALF else set()
    return {port for port, case in lab.cases.items() if case.kind == kind} | both


def measured(done: Done) -> dict[str, dict[str, Any]]:
    assert done.stderr == ""
    return {group["label"]: group for group in json.loads(done.stdout)["groups"]}


def test_each_kind_is_told_with_its_seconds(lab: Lab, native: Command) -> None:
    before = time.monotonic()
    found = listed(lab, native)
    after = time.monotonic()
    for port, case in lab.cases.items():
        one = found[port]
        assert one["stuck_kind"] == case.kind, one
        if case.kind is None:
            assert (one["stuck"], one["stuck_most"]) == (None, None)
            continue
        assert one["stuck"] <= one["stuck_most"]
        if case.since:
            # As the clock on the wall says, within half a second.
            assert one["stuck"] <= after - case.since + 0.5, one
            assert before - case.since - 0.5 <= one["stuck_most"], one
            # The kernel's timers tell since when a peer is silent, and they are late.
            late = 2 if case.kind == SILENT else 0
            assert one["stuck_most"] - one["stuck"] <= late
        else:
            assert OLD - 1 <= one["stuck_most"] <= after - lab.begun


def test_keepalive_answers_leave_an_interval(lab: Lab, native: Command) -> None:
    """The last acknowledgement is the answer to a probe, and not the end of the peer's data."""
    for port in (7408, 7608):
        one = listed(lab, native)[port]
        assert one["timer"] == "keepalive"
        # The peer closed between the two.
        assert one["stuck"] < 2.5 < lab.closed_after < one["stuck_most"]
        options = (f"--local-port={port}", "--stuck=5")
        done = ask(lab, native, *options, "-c", "0")
        assert (done.returncode, done.stdout.split("|")[0]) == (
            3,
            f"tcp{'6' if port > 7500 else ''} CLOSE WAIT: 0 to 1 [UNKNOWN]",
        )
        assert ask(lab, native, *options, "-c", "total=0").returncode == 3
        assert ask(lab, native, *options, "-c", "1").returncode == 0
        assert ask(lab, native, *options, "-c", "total=2:").returncode == 2
        assert ask(lab, native, *options, "--no-match-severity=crit").returncode == 3
        seconds = ask(lab, native, f"--local-port={port}", "--measure=stuck", "-c", "5")
        assert re.fullmatch(
            r"half-closed: [01] to \d+ s \(1 connection\) \[UNKNOWN\]",
            seconds.stdout.split("|")[0],
        )
        assert seconds.returncode == 3


def test_the_seconds_of_each_kind_are_judged(lab: Lab, native: Command) -> None:
    done = ask(lab, native, "--measure=stuck", "--format=json", "-w", "3", "-c", "9999,unread=4")
    found = measured(done)
    assert set(found) == {HALF, UNREAD, SILENT, NOT_READING}
    everyone = listed(lab, native)
    for kind, group in found.items():
        assert group["count"] == len(of_kind(lab, kind))
        longest = max(everyone[port]["stuck"] for port in of_kind(lab, kind))
        if kind != HALF:
            assert group["seconds"] <= longest <= group["seconds"] + 2
        assert group["state"] == (2 if kind == UNREAD else 1)
    report = json.loads(done.stdout)
    assert (report["state"], report["measure"]) == (2, "stuck")
    assert report["total"] == sum(case.kind is not None for case in lab.cases.values())
    one = ask(lab, native, "--measure=stuck", "--local-port=7402", "-w", "3")
    assert re.fullmatch(
        r"unread: \d+ s \(1 connection\) \[WARNING\]\|'half-closed'=0s"
        r" 'half-closed_connections'=0 'unread'=\d+s 'unread_connections'=1 'silent-peer'=0s"
        r" 'silent-peer_connections'=0 'peer-not-reading'=0s 'peer-not-reading_connections'=0\n",
        one.stdout,
    )
    none = ask(lab, native, "--measure=stuck", "--local-port=9", "-c", "1")
    assert none.stdout.startswith("No stuck connections found.|'half-closed'=0s")
    assert none.returncode == 0


def test_the_longest_of_each_owner_port_or_peer_is_judged(lab: Lab, native: Command) -> None:
    measure = ("--measure=stuck", "--format=json")
    found = measured(ask(lab, native, *measure, "--group-by=local-port", "-w", "3"))
    assert set(found) == {str(port) for port, case in lab.cases.items() if case.kind}
    states = {port: group["state"] for port, group in found.items()}
    assert (states["7402"], states["7408"]) == (1, 3)
    (user,) = measured(ask(lab, native, *measure, "--group-by=user", "-c", "root=3")).values()
    assert (user["label"], user["state"]) == ("root", 2)
    processes = measured(ask(lab, native, *measure, "--group-by=process", "--local-port=7402"))
    assert [group["count"] for group in processes.values()] == [1]
    done = ask(lab, native, "--measure=stuck", "--group-by=local-port", "-w", "~:999", "-c", "9999")
    perfdata = done.stdout.split("|")[1]
    assert re.fullmatch(r"'groups'=20 'longest'=\d+s;~:999;9999;0 'total'=20\n", perfdata)


@pytest.mark.parametrize("user", USERS)
def test_connections_that_are_stuck_for_so_long_are_counted(
    lab: Lab, nobodys: dict[str, Command], user: str
) -> None:
    def count(*options: str) -> dict[str, int]:
        with namespaces.inside(lab.pair.a):
            before = () if user == "root" else harness.NOBODY
            done = nobodys["native"].run(*options, "--format=json", before=before)
        return {group["label"]: group["count"] for group in json.loads(done.stdout)["groups"]}

    for kind in (HALF, UNREAD, SILENT, NOT_READING):
        ports = {port for port in of_kind(lab, kind) if port % 100 != 8}
        found = count(f"--stuck={kind}:3", "--group-by=local-port")
        assert {int(port) for port, number in found.items() if number} == ports, kind
    assert count("--stuck=9999") == {}
    # A kind that has to be named.
    usual = count("--stuck=1", "--group-by=local-port")
    assert not {"7406", "7606"} & set(usual)
    idle = count("--stuck=idle:5", "--group-by=local-port")
    assert {"7406", "7606", "7410", "7610"} <= set(idle)
    assert "7405" not in idle
    # Any of several times.
    assert {"7402", "7406"} <= set(
        count("--stuck=unread:3", "--stuck=idle:5", "--group-by=local-port")
    )


def test_the_tables_say_what_it_means(lab: Lab, native: Command) -> None:
    done = ask(lab, native, "--measure=stuck", "-w", "3", "--lengthy", "--no-perfdata")
    rows = [
        [cell.strip() for cell in line.split(" ! ")]
        for line in done.stdout.splitlines()
        if line[:1].isdigit()
    ]
    # Number, process, unit, user, local port, address, port, kind, seconds, bytes, meaning.
    assert {len(row) for row in rows} == {11}
    meanings = {(row[7], re.sub(r"\d+", "N", row[10])) for row in rows}
    assert meanings == {
        (HALF, "end of file read, not closed"),
        (HALF, "end of file not read"),
        (UNREAD, "data not read"),
        (SILENT, "peer has not answered N retransmissions"),
        (SILENT, "peer has not answered N keepalive probes"),
        (SILENT, "peer has not answered N requests"),
        (NOT_READING, "peer's window is closed"),
    }
    # The end of the peer's data is no byte.
    assert {row[9] for row in rows if row[10] == "end of file not read"} == {"0", "5"}
    done = ask(lab, native, "--conn-status=close_wait", "--stuck=3", "-c", "0", "--lengthy")
    assert "end of file read, not closed" in done.stdout
    assert "by peer" not in done.stdout
    done = ask(lab, native, "--conn-status=close_wait", "-c", "0", "--lengthy")
    (owner,) = re.findall(r"^.*by owner:\n(.*)\n", done.stdout, re.MULTILINE)[:1]
    assert owner.split(" ! ")[-2:] == ["Local port", "Stuck for"]
    assert re.search(r" ! \d+ s, (unread|half-closed)$", done.stdout, re.MULTILINE)


def test_the_fields_are_those_of_ss(lab: Lab, native: Command) -> None:
    shown = namespaces.run(lab.pair.a, ["ss", "-tanioH"]).stdout
    found = listed(lab, native)
    shown = re.sub(r"\n\t", " ", shown)
    compared = 0
    for line in shown.splitlines():
        match = re.search(r":(7[46]\d\d) ", line)
        assert match
        one = found.get(int(match[1]))
        times = dict(re.findall(r"\b(lastsnd|lastrcv):(\d+)", line))
        if one is None or one["status"] == "SYN_SENT":
            continue
        for name, field_name in (("lastsnd", "last_sent"), ("lastrcv", "last_received")):
            # The second look is later, and a retransmission in between starts from 0.
            later = one[field_name] - int(times[name]) / 1000
            assert 0 <= later < 2 or one["timer"] == "on", line
        timer = re.search(r"timer:\((\w+),", line)
        assert one["timer"] == (timer[1] if timer else "none"), line
        queues = line.split()[1:3]
        assert [str(one["recv_queue"]), str(one["send_queue"])] == queues
        compared += 1
    assert compared == 22


def test_python_has_the_same_fields(lab: Lab) -> None:
    with namespaces.inside(lab.pair.a):
        found = {one.local_port: one for one in network_connections.connections(stuck="unread:3")}
        assert set(found) == of_kind(lab, UNREAD)
        for one in found.values():
            assert one.stuck_kind == UNREAD
            assert one.stuck is not None
            assert one.stuck_most is not None
            assert one.last_received == one.stuck == one.stuck_most >= 3
            assert one.retransmits == 0
            assert one.drops is not None
            assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own
        idle = network_connections.count_connections(stuck=["idle:5", "unread:9999"])
        assert idle["tcp_ESTABLISHED"] >= 1
        result = network_connections.check(measure="stuck", warning=3)
        assert result.state == 1


def test_a_list_has_the_longest_first_and_at_most_so_many(lab: Lab, native: Command) -> None:
    rows = list(json.loads(ask(lab, native, "--list", "--format=json", "--stuck=0").stdout))
    assert len(rows) == 20
    times = [one["stuck_most"] for one in rows]
    assert times == sorted(times, reverse=True)
    text = ask(lab, native, "--list", "--top=3", "--stuck=0", "-c", "0", "--lengthy").stdout
    lines = text.splitlines()
    assert re.fullmatch(r"\d+ connections", lines[0])
    assert lines[2].split(" ! ")[0].strip() == "Type"
    assert (len(lines), lines[-1]) == (8, f"and {int(lines[0].split()[0]) - 3} more")
    assert all("python" in line for line in lines[4:7])
    # The command line of an alert, with one word behind it.
    done = ask(lab, native, "--measure=stuck", "-c", "unread=3", "--list", "--format=json")
    assert done.returncode == 0
    assert all(one["stuck"] for one in json.loads(done.stdout))


def test_netlink_alone_has_the_times(lab: Lab, native: Command) -> None:
    for options in (["--stuck=3"], ["--measure=stuck"]):
        for source in ("procfs", "counters"):
            line = one_line(ask(lab, native, *options, f"--source={source}"))
            assert line == (
                f"The source {source} does not tell the times of sockets (valid: auto, netlink)"
            )


def test_where_netlink_fails_the_answer_is_unknown(native: Command, tampered: Tampered) -> None:
    for options in (["--stuck=3"], ["--measure=stuck"], ["--list", "--stuck=3"]):
        done = native.run(*options, before=tampered("socket:error=EACCES"))
        assert done.returncode == 3
        assert done.stdout.startswith("Cannot count TCP connections: netlink: socket:")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--stuck=5m"], '--stuck: "5m" is not a number of seconds'),
        (["--stuck=-1"], '--stuck: "-1" is not a number of seconds'),
        (["--stuck=unred:5"], '--stuck: unknown kind "unred", did you mean "unread"?'),
        (["--stuck=3456001"], '--stuck: "3456001" is more than 40 days'),
        (["--stuck=5", "--conn-type=udp"], "--conn-type: only TCP has stuck connections"),
        (["--stuck=5", "--conn-status=listen"], "--conn-status: no connection in such a status"),
        (["--stuck=5", "--conn-status=time_wait"], "--conn-status: no connection in such a status"),
        (["--stuck=5", "--measure=accept-queue"], "--stuck: has no meaning where listeners"),
        (["--group-by=kind"], "--group-by: connections are not measured by kind"),
        (["--measure=stuck", "--zero"], "--zero: has no meaning where stuck connections"),
        (["--measure=stuck", "-c", "total=5"], '--critical: "total" is the key of no group'),
        (["--measure=stuck", "-c", "idle=5"], '--critical: "idle" is the key of no group'),
        (["--measure=stuck", "-c", "9999999"], '--critical: "9999999" never alerts'),
        (["--stuck=5", "--test=[]"], "Fixture has no times of connections"),
        (["--list", "--test=[]"], "--list: a fixture has no connections of this host"),
    ],
)
def test_what_has_no_meaning_is_refused(native: Command, options: list[str], problem: str) -> None:
    line = one_line(native.run(*options))
    assert line.startswith(problem), line


def test_prometheus_has_the_same_series_always(lab: Lab, native: Command) -> None:
    names = set()
    for port in (7402, 9):
        options = ("--measure=stuck", f"--local-port={port}", "--format=prometheus")
        page = ask(lab, native, *options).stdout
        found = dict(
            re.findall(r'^(network_connections_stuck\w*\{kind="[\w-]+"\}) (\d+)$', page, re.M)
        )
        assert len(found) == 8
        names.add(frozenset(found))
        assert harness.is_fine(page)
        unread = found['network_connections_stuck{kind="unread"}']
        assert unread == ("1" if port == 7402 else "0")
    assert len(names) == 1
