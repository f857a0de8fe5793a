"""The table under an alert: who has the connections, and where they lead; never too long."""

from __future__ import annotations

import collections
import itertools
import json
import pwd
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import harness
import lib.base
import pytest
import shares
from harness import Command
from lab import namespaces, oracles, owners
from lab.owners import NAMELESS, Host
from model import canonical
from network_connections import check

pytestmark = pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")

# Reading all of /proc takes long on a host where others hold a million sockets.
PATIENT = "--timeout=60"
# Nagios and NRPE cut longer outputs.
LIMIT = 8000
OTHERS = "(other users' processes)"
PORTS = "Ephemeral ports in use"
# The columns of each table.
COLUMNS = {
    "owner": ["Connections", "Process", "Unit", "User", "Local port", "Stuck for"],
    "peer": ["Connections", "Local port", "Remote address", "Remote port", PORTS, "Stuck for"],
}
# One row, at any time.
LEFT = "N s, half-closed"


@dataclass(frozen=True)
class Table:
    """A table below a message."""

    group: str
    by: str
    # By the names of the columns; a time has "N" in place of its seconds, which grow.
    rows: list[dict[str, str]]
    left_out: int
    # As printed.
    cells: list[dict[str, str]] = field(compare=False)
    text: str = field(compare=False)

    @property
    def sum(self) -> int:
        """The connections of all rows."""
        return sum(int(row["Connections"]) for row in self.rows)

    def columns(self, *names: str) -> list[list[str]]:
        """Return these columns of all rows."""
        return harness.columns(self.rows, *names)


@dataclass(frozen=True)
class Output:
    """A whole output, taken to pieces."""

    message: str
    tables: list[Table]
    # What is said instead of further tables.
    rest: str
    perfdata: dict[str, int]

    def table(self, group: str, by: str) -> Table:
        """Return the only table of a group by owner or by peer."""
        found = [table for table in self.tables if (table.group, table.by) == (group, by)]
        assert len(found) == 1, found
        return found[0]


HINT = "These are the tables of the largest group. -w 0 adds those of every group."
METRIC = re.compile(r"'([^'=|]+)'=(\d+)")


def taken_apart(stdout: str) -> Output:
    """Take an output apart, which must be message, tables and performance data, in this order."""
    assert stdout.endswith("\n")
    assert len(stdout.encode()) < LIMIT
    text, bar, perfdata = stdout[:-1].partition("|")
    metrics = METRIC.findall(perfdata)
    assert " ".join(f"'{label}'={number}" for label, number in metrics) == perfdata
    assert bool(bar) == bool(metrics)
    message, *parts = text.split("\n\n")
    assert "\n" not in message
    if parts and parts[-1] == HINT:
        parts.pop()
    rest = parts.pop() if parts and parts[-1].startswith("and ") else ""
    counts = {label: int(number) for label, number in metrics}
    return Output(message, [_table(part) for part in parts], rest, counts)


def _table(text: str) -> Table:
    title, header, rule, *lines = text.split("\n")
    match = re.fullmatch(r"(.*), by (owner|peer):", title)
    assert match is not None, title
    left_out = 0
    if found := re.fullmatch(r"and (\d+) more", lines[-1]):
        left_out = int(found[1])
        lines.pop()
    # Columns begin where the rule says, by the width on a screen.
    widths = [len(part) for part in rule.split("-+-")]
    assert re.fullmatch(r"-+(-\+-+)*", rule)
    cells = [_cells(line, widths) for line in (header, *lines)]
    for column, width in enumerate(widths):
        assert max(display_width(row[column]) for row in cells) == width
    names, *body = cells
    group, by = match[1], match[2]
    assert names == COLUMNS[by]
    printed = [dict(zip(names, row)) for row in body]
    rows = [{**row, "Stuck for": _at_any_time(row["Stuck for"])} for row in printed]
    counts = [int(row["Connections"]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    assert rows
    return Table(group, by, rows, left_out, printed, text)


def _at_any_time(stuck: str) -> str:
    if stuck == harness.NOT_STUCK:
        return stuck
    seconds, kind = stuck.split(" s, ")
    least, _, most = seconds.partition(" to ")
    assert int(most or least) > 0
    assert not most or int(least) < int(most)
    return f"N s, {kind}"


def _cells(line: str, widths: Sequence[int]) -> list[str]:
    assert line == line.rstrip()
    places = [0, *itertools.accumulate(width + 3 for width in widths)]
    columns = []
    for start, width in zip(places, widths):
        cell = _part(line, start, start + width)
        assert start == 0 or _part(line, start - 3, start) == " ! ", line
        columns.append(cell.rstrip())
    return columns


def _part(line: str, start: int, end: int) -> str:
    """Return what stands between two columns of a screen."""
    ends = [*itertools.accumulate(map(display_width, line))]
    return "".join(character for character, at in zip(line, ends) if start < at <= end)


def display_width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def asked(host: Host, *options: str, state: int = 0, user: str = "root") -> Output:
    done = host.ask("--lengthy", *options, user=user)
    assert (done.stderr, done.returncode) == ("", state), done
    return taken_apart(done.stdout)


# What the tables say.

HERE, HERE_TOO = "192.0.2.1", "192.0.2.11"
THERE, THERE_TOO, THERE6 = "192.0.2.2", "192.0.2.12", "2001:db8::2"
FIRST, LAST = 40000, 40099


@pytest.fixture(scope="module")
def leaky(nobodys: Mapping[str, Command]) -> Iterator[Host]:
    """Return a host where two processes have connections that the other end has closed."""
    with owners.host([*nobodys["native"].argv, PATIENT]) as host:
        with namespaces.inside(host.ns):
            ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
            ports.write_text(f"{FIRST} {LAST}", encoding="ascii")
        for ns, address in ((host.pair.a, HERE_TOO), (host.pair.b, THERE_TOO)):
            namespaces.run(None, ["ip", "-n", ns, "addr", "add", f"{address}/24", "dev", "lab"])
        app = host.start("app", host.cgroup("app.service"), NAMELESS)
        web = host.start("web", host.cgroup("web.service"), 1)
        peer = host.start("peer", ns=host.pair.b)
        for address, port in (("0.0.0.0", 9000), ("0.0.0.0", 9001), (THERE6, 9002)):  # noqa: S104
            peer.do("listen", address, port)

        def leak(remote: str, port: int, count: int) -> None:
            app.do("connect", remote, port, count)
            peer.do("accept", port, count)
            peer.do("shut", port)

        # One destination, also as an IPv4-mapped address; what goes on later is no leak,
        leak(THERE, 9000, 15)
        leak(f"::ffff:{THERE}", 9000, 10)
        app.do("connect", THERE, 9000, 9)
        # and this takes no port of the range, or one of another address.
        app.do("connect", THERE, 9000, 6, HERE, 30000)
        app.do("connect", THERE, 9000, 12, HERE_TOO)
        leak(THERE6, 9002, 8)
        leak(THERE, 9001, 7)
        leak(THERE_TOO, 9001, 3)
        # These came from there.
        web.do("listen", HERE, 8080)
        peer.do("connect", HERE, 8080, 4, THERE)
        peer.do("connect", HERE, 8080, 2, THERE_TOO)
        web.do("accept", 8080, 6)
        peer.do("shut", 8080)
        web.do("udp", "127.0.0.1", 5)
        # Packets cross the veth in their own time.
        deadline = time.monotonic() + 10
        while counts(host)["CLOSE_WAIT"] != 49:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # Of less than a second nothing is said.
        time.sleep(1.1)
        yield host


def counts(host: Host) -> collections.Counter[str]:
    return collections.Counter(row.status for row in oracles.read_proc_net(host.ns))


def used(host: Host, remote: str, port: int) -> int:
    """How many ephemeral ports of one address are in use towards a destination, says ss."""
    ports = collections.defaultdict(set)
    for row in oracles.read_ss(host.ns, kinds=("tcp", "tcp6")):
        if (str(canonical(row.remote[0])), row.remote[1]) == (remote, port):
            ports[canonical(row.local[0])].add(row.local[1])
    return max(len(taken & {*range(FIRST, LAST + 1)}) for taken in ports.values())


def test_who_has_them_and_where_they_lead(leaky: Host) -> None:
    output = asked(leaky, "--group-by=status", "-c", "CLOSE_WAIT=10", state=2)
    assert {table.group for table in output.tables} == {"CLOSE WAIT"}
    holders, peers = (output.table("CLOSE WAIT", by) for by in COLUMNS)
    processes = {row["Unit"]: row["Process"] for row in holders.rows}
    assert re.fullmatch(r"app \(\d+\)", processes["app.service"])
    assert re.fullmatch(r"web \(\d+\)", processes["web.service"])
    assert holders.columns("Connections", "Process", "Unit", "User", "Local port") == [
        ["43", processes["app.service"], "app.service", str(NAMELESS), "-"],
        ["6", processes["web.service"], "web.service", pwd.getpwuid(1).pw_name, "8080"],
    ]
    ends = ("Local port", "Remote address", "Remote port")
    assert peers.columns("Connections", *ends, PORTS) == [
        ["25", "-", THERE, "9000", "34 of 100 (34%)"],
        ["8", "-", THERE6, "9002", "8 of 100 (8%)"],
        ["7", "-", THERE, "9001", "7 of 100 (7%)"],
        ["4", "8080", THERE, "-", "-"],
        ["3", "-", THERE_TOO, "9001", "3 of 100 (3%)"],
        ["2", "8080", THERE_TOO, "-", "-"],
    ]
    for table in (holders, peers):
        assert {row["Stuck for"] for row in table.rows} == {LEFT}
    for address, port, share in peers.columns("Remote address", "Remote port", PORTS):
        if port != "-":
            number = used(leaky, address, int(port))
            assert share == f"{number} of 100 ({number}%)"


def test_each_local_port_has_rows_of_its_own_with_the_longest_time(
    nobodys: Mapping[str, Command],
) -> None:
    with owners.host([*nobodys["native"].argv, PATIENT]) as host:
        server = host.start("server")
        peer, other = (host.start(name, ns=host.pair.b) for name in ("peer", "other"))
        for port, theirs, others in ((7001, 4, 1), (7002, 4, 0), (7003, 2, 1)):
            server.do("listen", HERE, port)
            peer.do("connect", HERE, port, theirs, THERE)
            other.do("connect", HERE, port, others, THERE)
            server.do("accept", port, theirs + others)
        peer.do("listen", THERE, 7004)
        server.do("connect", THERE, 7004, 2)
        peer.do("accept", 7004, 2)
        peer.do("shut", 7001)
        other.do("send", 7003, 7)
        time.sleep(1.1)
        # For a shorter time, and for longer than a second too.
        other.do("send", 7001, 7)
        peer.do("shut", 7003)
        time.sleep(1.1)
        options = ["--conn-status=established", "--conn-status=close_wait", "--group-by=process"]
        output = asked(host, *options, "-c", "server=0", state=2)
        holders, peers = (output.table(f"server ({server.pid})", by) for by in COLUMNS)
        assert holders.columns("Connections", "Local port", "Stuck for") == [
            ["5", "7001", LEFT],
            ["4", "7002", "-"],
            ["3", "7003", "N s, unread"],
            ["2", "-", "-"],
        ]
        ends = ("Local port", "Remote address", "Remote port")
        assert peers.columns("Connections", *ends, "Stuck for") == [
            ["5", "7001", THERE, "-", LEFT],
            ["4", "7002", THERE, "-", "-"],
            ["3", "7003", THERE, "-", "N s, unread"],
            ["2", "-", THERE, "7004", "-"],
        ]
        for table in (holders, peers):
            for row in table.cells[::2]:
                seconds = row["Stuck for"].partition(" s, ")[0]
                # The longer one of two bounds.
                assert int(seconds.rpartition(" ")[2]) >= 2


def test_without_thresholds_the_way_to_further_tables_is_said(leaky: Host) -> None:
    done = leaky.ask("--lengthy")
    assert done.stdout.partition("|")[0].endswith(f"\n\n{HINT}")
    for options in (["-w0"], ["-c", "1000"], ["--conn-status=listen", "--group-by=status"]):
        assert HINT not in leaky.ask("--lengthy", *options).stdout


def test_as_nobody_only_the_processes_are_missing(leaky: Host) -> None:
    options = ["--group-by=status", "-c", "CLOSE_WAIT=10"]
    root = asked(leaky, *options, state=2)
    nobody = asked(leaky, *options, state=2, user="nobody")
    hidden = [{**row, "Process": OTHERS} for row in root.table("CLOSE WAIT", "owner").rows]
    assert nobody.table("CLOSE WAIT", "owner").rows == hidden
    assert nobody.table("CLOSE WAIT", "peer") == root.table("CLOSE WAIT", "peer")
    assert (nobody.message, nobody.perfdata) == (root.message, root.perfdata)


@pytest.mark.skipif(bool(harness.no_strace()), reason=harness.no_strace() or "-")
def test_an_alert_is_printed_though_its_tables_never_come(leaky: Host) -> None:
    options = ["--group-by=status", "-c", "CLOSE_WAIT=10", "--conn-type=tcp", "--conn-type=tcp6"]
    plain = leaky.ask(*options)
    # The first request counts; the listeners and what follows are for the tables.
    before = harness.tampered(f"{harness.SILENT}:when=2+")
    done = leaky.ask(*options, "--lengthy", "--timeout=4", before=before)
    message, _, perfdata = plain.stdout.partition("|")
    missing = "; details are missing: Timeout: no answer within 4 s"
    assert done == (f"{message}{missing}|{perfdata}", "", 2)


def test_procfs_shows_the_same_without_units_and_times(leaky: Host) -> None:
    options = ["--group-by=status", "-c", "CLOSE_WAIT=10"]
    netlink = asked(leaky, *options, state=2)
    procfs = asked(leaky, *options, "--source=procfs", state=2)
    for by, unknown in (("owner", ["Unit", "Stuck for"]), ("peer", ["Stuck for"])):
        missing = dict.fromkeys(unknown, "-")
        expected = [{**row, **missing} for row in netlink.table("CLOSE WAIT", by).rows]
        assert procfs.table("CLOSE WAIT", by).rows == expected


def test_where_nothing_tells_the_range_of_ports_no_share_is_shown(
    leaky: Host, tmp_path: Path
) -> None:
    options = ["--lengthy", "--group-by=status", "-c", "CLOSE_WAIT=10"]
    peers = taken_apart(leaky.ask(*options).stdout).table("CLOSE WAIT", "peer")
    expected = [{**row, PORTS: "-"} for row in peers.rows]
    setting = tmp_path / "range"
    before = owners.private(f"mount --bind {setting} /proc/sys/net/ipv4/ip_local_port_range")
    for text in ("40099 40000", "40000", "some ports"):
        setting.write_text(text, encoding="ascii")
        done = leaky.ask(*options, before=before)
        assert (done.stderr, done.returncode) == ("", 2), text
        assert taken_apart(done.stdout).table("CLOSE WAIT", "peer").rows == expected, text
    done = leaky.ask(*options, before=owners.private("umount --lazy /proc"))
    assert (done.stderr, done.returncode) == ("", 2)
    assert taken_apart(done.stdout).table("CLOSE WAIT", "peer").rows == expected


def test_ports_in_time_wait_are_in_use(leaky: Host) -> None:
    app = leaky.start("late")
    peer = leaky.start("late peer", ns=leaky.pair.b)
    peer.do("listen", THERE, 9004)
    app.do("connect", THERE, 9004, 4)
    peer.do("accept", 9004, 4)
    app.do("close", 9004)
    peer.do("drain", 9004)
    peer.do("close", 9004)
    app.do("connect", THERE, 9004, 3)
    while counts(leaky)["TIME_WAIT"] != 4:
        time.sleep(0.01)
    output = asked(leaky, "--remote-port=9004", "--conn-status=established")
    (row,) = output.table("tcp ESTABLISHED", "peer").rows
    there = {"Local port": "-", "Remote address": THERE, "Remote port": "9004"}
    assert row == {"Connections": "3", **there, PORTS: "7 of 100 (7%)", "Stuck for": "-"}
    app.do("close", 9004)


def test_each_group_in_alert_state_the_worst_first(leaky: Host) -> None:
    options = ["--group-by=status", "-c", "CLOSE_WAIT=10", "-w", "NONE=1,LISTEN=0"]
    output = asked(leaky, *options, state=2)
    assert [table.group for table in output.tables] == [
        *("CLOSE WAIT", "CLOSE WAIT"),
        "NONE",  # without peers
        "LISTEN",
    ]
    # The state that is reported does not matter.
    assert asked(leaky, *options, "--always-ok").tables == output.tables
    for always in ([], ["-c", "ESTABLISHED=500"]):
        output = asked(leaky, "--group-by=status", *always)
        assert {table.group for table in output.tables} == {"CLOSE WAIT"}


@pytest.mark.parametrize(
    "by",
    [
        *("type-status", "type", "status", "local-port", "remote-port", "local-address"),
        *("remote-address", "user", "unit", "process"),
    ],
)
def test_every_kind_of_groups(leaky: Host, by: str) -> None:
    for user in ("root", "nobody"):
        options = [f"--group-by={by}", "-c0"]
        plain = leaky.ask(*options, user=user)
        output = asked(leaky, *options, state=2, user=user)
        assert f"{output.message}|" == plain.stdout.partition("|")[0] + "|"
        assert output.perfdata == taken_apart(plain.stdout).perfdata
        shown = dict(re.findall(r"([^,]+): (\d+) \[CRITICAL\]", output.message))
        groups = {label.strip(): int(number) for label, number in shown.items()}
        assert len(groups) > 1
        for label, number in groups.items():
            holders = output.table(label, "owner")
            assert holders.sum == number or holders.left_out
            peers = [table for table in output.tables if (table.group, table.by) == (label, "peer")]
            assert all(table.sum <= number for table in peers)


def test_tables_look_like_the_collections(leaky: Host) -> None:
    # Its own tables are not cut at the end of a line.
    output = asked(leaky, "-c0", state=2)
    for table in output.tables:
        _, *lines = table.text.split("\n")
        names = COLUMNS[table.by]
        theirs = lib.base.get_table(table.cells, names, header=names)
        ours = lines[: len(table.rows) + 2]
        assert ours == [line.rstrip() for line in theirs.splitlines()]


def test_without_performance_data(leaky: Host) -> None:
    done = leaky.ask("--lengthy", "--no-perfdata", "-c0")
    assert "|" not in done.stdout
    assert taken_apart(done.stdout).tables == asked(leaky, "-c0", state=2).tables


def test_nothing_found(leaky: Host) -> None:
    done = leaky.ask("--lengthy", "--conn-status=last_ack", "--no-match-severity=warn")
    message = 'No connections of type "all" in status "last_ack" found. [WARNING]\n'
    assert done == (message, "", 1)


@pytest.mark.parametrize("form", ["json", "prometheus"])
def test_other_formats_stay_what_they_are(leaky: Host, form: str) -> None:
    plain, lengthy = (
        leaky.ask(f"--format={form}", "-c0", *option).stdout for option in ([], ["--lengthy"])
    )
    if form == "json":
        answers = [json.loads(plain), json.loads(lengthy)]
        for answer in answers:
            del answer["duration"]
        message = answers[1].pop("message")
        assert message.startswith(answers[0].pop("message"))
        assert answers[0] == answers[1]
    else:
        plain, lengthy = (re.sub(r"(seconds) .*", r"\1", text) for text in (plain, lengthy))
        assert plain == lengthy


def test_the_api_says_what_the_command_prints(leaky: Host) -> None:
    done = leaky.ask("--lengthy", "--group-by=unit", "-c=10")
    with namespaces.inside(leaky.ns):
        result = check(lengthy=True, group_by="unit", critical=10, timeout=60)
    assert taken_apart(f"{result}\n") == taken_apart(done.stdout)
    assert result.state == done.returncode == 2
    assert str(result) == f"{result.message}|{result.perfdata}"


def test_a_fixture_has_no_owners(native: Command) -> None:
    test = native.fixture(harness.connections({"tcp_ESTABLISHED": 3, "tcp_LISTEN": 1}))
    done = native.run(test, "--lengthy")
    assert (done.stderr, done.returncode) == ("", 0)
    output = taken_apart(done.stdout)
    assert [table.by for table in output.tables] == ["peer"]
    (row,) = output.table("tcp ESTABLISHED", "peer").rows
    known = {"Connections": "3", "Remote address": "192.0.2.2"}
    assert row == {**dict.fromkeys(COLUMNS["peer"], "-"), **known}


# However many there are, and whatever they are called.

UNITS, EACH = 12, 250
GROUPS = (
    *("type-status", "type", "status", "local-port", "remote-port", "local-address"),
    *("remote-address", "user", "unit", "process"),
)


@pytest.fixture(scope="module")
def crowded(nobodys: Mapping[str, Command]) -> Iterator[Host]:
    """Return a host with thousands of peers and users, and the longest names there can be."""
    with owners.host([*nobodys["native"].argv, PATIENT]) as host:
        # 15 bytes; three bytes and two columns, or four and two.
        start = host.start("漢字🐳漢")
        for unit in range(UNITS):
            # 255 bytes.
            start.do("enter", host.cgroup(f"{'字' * 81}{unit:04}.service"))
            start.do("own", NAMELESS + unit * EACH)
            remotes = [(f"127.{unit}.{number}.1", 1000 + number) for number in range(EACH)]
            start.do("udp_to", remotes, EACH)
        yield host


# These have few groups, many small ones, and long names.
FEW = ("type-status", "remote-address", "unit")


@pytest.mark.parametrize("by", [*FEW, *shares.slow(*(by for by in GROUPS if by not in FEW))])
def test_thousands_of_peers_and_holders(crowded: Host, by: str) -> None:
    for user, options, state in (("root", [], 0), ("nobody", ["-c0"], 2), ("root", ["-c0"], 2)):
        line = [f"--group-by={by}", *options]
        plain = crowded.ask(*line, user=user)
        done = crowded.ask(*line, "--lengthy", user=user)
        assert (done.stderr, done.returncode) == ("", state)
        output = taken_apart(done.stdout)
        # What would be cut is not: neither the message nor the performance data.
        assert plain.stdout == f"{output.message}|{done.stdout.partition('|')[2]}"
        assert output.tables or output.rest


def test_what_is_left_out_is_counted(crowded: Host) -> None:
    output = asked(crowded, "--group-by=type")
    assert {table.group for table in output.tables} == {"udp"}
    for by in COLUMNS:
        table = output.table("udp", by)
        # UDP has neither listeners nor times.
        assert {(row["Local port"], row["Stuck for"]) for row in table.rows} == {("-", "-")}
        assert len(table.rows) + table.left_out == UNITS * EACH
        assert table.sum == len(table.rows) <= 10
    assert output.perfdata == {"udp": UNITS * EACH}


def test_groups_without_a_table_are_counted(crowded: Host) -> None:
    output = asked(crowded, "--group-by=unit", "-c0", state=2)
    match = re.fullmatch(r"and (\d+) more groups", output.rest)
    assert match is not None
    explained = {table.group for table in output.tables}
    # The message names ten of them.
    assert len(explained) + int(match[1]) == 10
    assert output.perfdata == {"groups": UNITS, "largest": EACH, "total": UNITS * EACH}


def test_a_message_that_is_too_long_itself(crowded: Host) -> None:
    # Who asks for that many groups gets as many as fit, and the performance data whole.
    for state, options in enumerate(([], ["-w0"])):
        output = asked(crowded, "--group-by=remote-address", "--top=3000", *options, state=state)
        assert output.perfdata == {"groups": UNITS * EACH, "largest": 1, "total": UNITS * EACH}


def test_labels_that_are_too_long_themselves(nobodys: Mapping[str, Command]) -> None:
    with owners.host([*nobodys["native"].argv, PATIENT]) as host:
        start = host.start("deep")
        for number in range(10):
            start.do("enter", host.cgroup(*[f"{number}{'x' * 250}"] * 5))
            start.do("udp", "127.0.0.1", 1)
        output = asked(host, "--group-by=unit")
        assert output.perfdata == {"groups": 10, "largest": 1, "total": 10}


def test_widths_are_those_of_a_screen(nobodys: Mapping[str, Command]) -> None:
    with owners.host([*nobodys["native"].argv, PATIENT]) as host:
        names = ("ascii", "漢字かな", "e\u0301e\u0301", "🐳🐳", "\uff57\uff49\uff44\uff45")
        for number, name in enumerate(names, 1):
            unit = host.cgroup(f"{name}.service")
            host.start(name, unit).do("udp", "127.0.0.1", number)
        # Taking it apart does it by widths.
        rows = asked(host).table("udp NONE", "owner").rows
        assert [row["Process"].rpartition(" (")[0] for row in rows] == [*reversed(names)]
        assert [row["Unit"] for row in rows] == [f"{name}.service" for name in reversed(names)]
