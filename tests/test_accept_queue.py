"""`--measure=accept-queue`: how full the queues of listeners are, and what they have dropped."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import harness
import pytest
import shares
from asking import USERS, WAYS, Asker, asker
from conftest import Tampered
from harness import Command, Done, one_line, says
from lab import namespaces, oracles, owners, servers
from lab.namespaces import Pair
from lab.servers import MPTCP, REUSE, Queue, Sockets, wait_for
from lab.tools import lacking
from model import canonical

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=accept-queue"


def ask(native: Command, ns: str, *options: str, before: Sequence[str] = ()) -> Done:
    with namespaces.inside(ns):
        return native.run(MEASURE, *options, before=before)


def groups(done: Done) -> dict[str, dict[str, Any]]:
    """Return the groups of a JSON report by their labels."""
    assert done.stderr == ""
    return {group["label"]: group for group in json.loads(done.stdout)["groups"]}


def found(done: Done) -> dict[str, Queue]:
    """Return the queues of a JSON report, by listener."""
    queues = {}
    for label, group in groups(done).items():
        queue = Queue(group["count"], group["of"], group["drops"])
        assert group["percent"] == pytest.approx(queue.percent)
        queues[label] = queue
    return queues


def shown(label: str, queue: Queue) -> str:
    """Return what the message says of a listener that is fine."""
    dropped = f", {queue.drops} dropped" if queue.drops else ""
    percent = f"{queue.percent:.2f}".rstrip("0").rstrip(".")
    return f"{label}: {percent}% ({queue.waiting} of {queue.of}{dropped})"


def settle(ns: str, label: str, waiting: int) -> list[Queue]:
    """Wait until so many connections are in a queue, and return what `ss` shows."""
    wait_for(lambda: sum(queue.waiting for queue in servers.queues(ns)[label]) == waiting)
    return servers.queues(ns)[label]


# Each kind of listener, from empty to beyond full.


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with namespaces.pair() as made:
        yield made


PROTOCOL = MPTCP if servers.has_mptcp() else 0
MPTCP_OR_TCP = "MPTCP" if PROTOCOL else "TCP in place of MPTCP"
KINDS = {
    # Where it listens, and where its clients connect to.
    "IPv4": (Pair.a4, Pair.a4, 0),
    "any IPv4": ("0.0.0.0", Pair.a4, 0),  # noqa: S104 - in a namespace of its own
    "IPv6": (Pair.a6, Pair.a6, 0),
    "dual-stack, IPv6": ("::", Pair.a6, 0),
    "dual-stack, IPv4": ("::", Pair.a4, 0),
    "IPv4-mapped": (f"::ffff:{Pair.a4}", Pair.a4, 0),
    # Where the kernel has none, what it does to a server that asks for it and makes do with TCP.
    f"{MPTCP_OR_TCP}, IPv4": (Pair.a4, Pair.a4, PROTOCOL),
    f"{MPTCP_OR_TCP}, IPv6": (Pair.a6, Pair.a6, PROTOCOL),
}
PORT = 8000
LABELS = {
    "0.0.0.0": f"0.0.0.0:{PORT}",  # noqa: S104
    "::": f"[::]:{PORT}",
    Pair.a4: f"{Pair.a4}:{PORT}",
    f"::ffff:{Pair.a4}": f"{Pair.a4}:{PORT}",
    Pair.a6: f"[{Pair.a6}]:{PORT}",
}


@pytest.fixture
def cookies(request: pytest.FixtureRequest, pair: Pair) -> Iterator[None]:
    """Let SYN cookies be sent where they are needed (1), or always (2)."""
    namespaces.sysctl(pair.a, "net/ipv4/tcp_syncookies", request.param)
    yield
    namespaces.sysctl(pair.a, "net/ipv4/tcp_syncookies", 1)


@pytest.mark.usefixtures("cookies")
@pytest.mark.parametrize("cookies", [1, *shares.slow(2)], indirect=True)
@pytest.mark.parametrize("backlog", [5, *shares.slow(0, 1, 128)])
@pytest.mark.parametrize("kind", KINDS)
def test_queue_limit_and_drops_are_those_of_ss(
    pair: Pair, native: Command, kind: str, backlog: int
) -> None:
    """The kernel lets one more wait than the limit says, and drops further requests."""
    host, reached, protocol = KINDS[kind]
    label = LABELS[host]
    with servers.sockets() as made:
        server = made.listen(pair.a, host, PORT, backlog, protocol=protocol)
        before = servers.listen_drops(pair.a)

        def check(waiting: int) -> Queue:
            (expected,) = settle(pair.a, label, waiting)
            dropped = servers.listen_drops(pair.a)
            assert found(ask(native, pair.a, "--format=json")) == {label: expected}
            assert ask(native, pair.a, "--no-perfdata").stdout == f"{shown(label, expected)}\n"
            # One listener alone drops, and nothing but requests.
            assert expected.drops == dropped.drops - before.drops
            assert expected.drops == dropped.overflows - before.overflows
            return expected

        assert check(0) == Queue(0, backlog, 0)
        half = (backlog + 1) // 2
        clients = made.crowd(pair.b, pair.a, (reached, PORT), half)
        assert (len(clients), check(half)) == (half, Queue(half, backlog, 0))
        clients += made.crowd(pair.b, pair.a, (reached, PORT), backlog + 1 - half)
        full = check(backlog + 1)
        assert full == Queue(backlog + 1, backlog, 0)
        assert full.percent > 100
        # So it is in alert where the range ends at 100, and one that is not full is not.
        assert ask(native, pair.a, "-c=100").returncode == 2
        assert made.crowd(pair.b, pair.a, (reached, PORT), 3) == []
        beyond = check(backlog + 1)
        assert beyond.drops >= 3
        # With room again the drops stay.
        server.accept()[0].close()
        assert check(backlog).drops == beyond.drops
        # The limit is what was last asked for.
        server.listen(backlog + 7)
        assert check(backlog).of == backlog + 7


def test_the_limit_is_what_the_host_allows_when_a_server_begins_to_listen(
    pair: Pair, native: Command
) -> None:
    """As docs/incidents.md says: the smaller of the backlog and net.core.somaxconn."""
    label = f"{pair.a4}:{PORT}"
    before = namespaces.run(pair.a, ["cat", "/proc/sys/net/core/somaxconn"]).stdout
    namespaces.sysctl(pair.a, "net/core/somaxconn", 3)
    try:
        with servers.sockets() as made:
            server = made.listen(pair.a, pair.a4, PORT, 128)
            assert found(ask(native, pair.a, "--format=json")) == {label: Queue(0, 3, 0)}
            assert len(made.crowd(pair.b, pair.a, (pair.a4, PORT), 5)) == 4
            (expected,) = settle(pair.a, label, 4)
            assert expected[:2] == (4, 3)
            assert found(ask(native, pair.a, "--format=json")) == {label: expected}
            # What is allowed later on is for who listens later on.
            namespaces.sysctl(pair.a, "net/core/somaxconn", 64)
            assert found(ask(native, pair.a, "--format=json")) == {label: expected}
            server.listen(128)
            assert found(ask(native, pair.a, "--format=json")) == {label: expected._replace(of=64)}
    finally:
        namespaces.sysctl(pair.a, "net/core/somaxconn", int(before))


def test_of_sockets_on_several_interfaces_the_fullest_counts(pair: Pair, native: Command) -> None:
    """They have one address and port, though each has clients of its own."""
    label = f"0.0.0.0:{PORT}"
    with servers.sockets() as made:
        for link, backlog in ((b"lo", 9), (b"lab", 1)):
            option = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link)
            made.listen(pair.a, "0.0.0.0", PORT, backlog, options=[option])  # noqa: S104
        made.crowd(pair.b, pair.a, (pair.a4, PORT), 4)
        made.crowd(pair.a, pair.a, ("127.0.0.1", PORT), 5)
        rows = [queue for queues in servers.queues(pair.a).values() for queue in queues]
        assert sorted(queue[:2] for queue in rows) == [(2, 1), (5, 9)]
        assert found(ask(native, pair.a, "--format=json")) == {label: servers.fullest(rows)}


def test_what_sends_nothing_does_not_wait_where_accepting_is_deferred(
    pair: Pair, native: Command
) -> None:
    """And what its handshake ends with is dropped, which the kernel counts."""
    defer = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    label = f"{pair.a4}:{PORT}"
    with servers.sockets() as made:
        server = made.listen(pair.a, pair.a4, PORT, 5, options=[defer])
        before = servers.listen_drops(pair.a)
        clients = [made.connect(pair.b, (pair.a4, PORT)) for _ in range(4)]
        wait_for(lambda: servers.queues(pair.a)[label][0].drops >= 4)
        rows = servers.queues(pair.a)[label]
        assert found(ask(native, pair.a, "--format=json")) == {label: rows[0]}
        assert rows[0] == Queue(0, 5, 4)
        # Nothing is lost, and so the host's own counters say.
        assert servers.listen_drops(pair.a) == before
        for client in clients[:2]:
            client.sendall(b"x")
        (row,) = settle(pair.a, label, 2)
        assert row == Queue(2, 5, 4)
        assert found(ask(native, pair.a, "--format=json")) == {label: row}
        # What ends a handshake and finds no room is dropped twice: as a connection and as a packet.
        server.listen(1)
        clients[2].sendall(b"x")

        def overflown() -> bool:
            overflows = servers.listen_drops(pair.a).overflows - before.overflows
            drops = servers.queues(pair.a)[label][0].drops
            return overflows > 0 and drops == 4 + 2 * overflows

        wait_for(overflown)


@pytest.mark.skipif(bool(lacking("nft")), reason=lacking("nft") or "-")
def test_a_request_that_comes_again_is_a_drop(pair: Pair, native: Command) -> None:
    """As docs/incidents.md says of what drops count."""
    label = f"{pair.a4}:{PORT}"
    with servers.losing(pair.b, PORT), servers.sockets() as made:
        made.listen(pair.a, pair.a4, PORT, 5)
        before = servers.listen_drops(pair.a)
        made.request(pair.b, (pair.a4, PORT))
        wait_for(lambda: servers.queues(pair.a)[label][0].drops > 0)
        assert servers.listen_drops(pair.a) == before
        expected = servers.queues(pair.a)[label][0]
        assert found(ask(native, pair.a, "--format=json")) == {label: expected}


def test_of_several_sockets_the_fullest_counts_and_every_drop(pair: Pair, native: Command) -> None:
    label = f"{pair.a4}:{PORT}"
    with servers.sockets() as made:
        for backlog in (1, 5, 9):
            made.listen(pair.a, pair.a4, PORT, backlog, options=[REUSE])
        before = servers.listen_drops(pair.a).drops
        # Their ports say which of the sockets is meant.
        clients = made.crowd(pair.b, pair.a, (pair.a4, PORT), 40)
        rows = settle(pair.a, label, len(clients))
        assert len(rows) == 3
        expected = servers.fullest(rows)
        assert expected.drops == servers.listen_drops(pair.a).drops - before
        assert expected.drops > 0
        assert found(ask(native, pair.a, "--format=json")) == {label: expected}
        done = ask(native, pair.a)
        drops = f"'drops'={expected.drops} 'ListenDrops'={servers.listen_drops(pair.a).drops}c"
        perfdata = f"'fullest'={expected.percent:g}%;;;0;100 'listeners'=1 {drops}"
        assert done.stdout == f"{shown(label, expected)}|{perfdata}\n"


def test_only_the_counter_of_the_host_is_one(native: Command) -> None:
    """As docs/output.md says: the sum over sockets falls when a worker ends."""
    with namespaces.pair() as pair, servers.sockets() as made:
        label = f"{pair.a4}:{PORT}"
        workers = [made.listen(pair.a, pair.a4, PORT, 1, options=[REUSE]) for _ in range(2)]

        def drop() -> bool:
            made.crowd(pair.b, pair.a, (pair.a4, PORT), 10)
            return all(queue.drops for queue in servers.queues(pair.a)[label])

        def drops(*options: str) -> list[str]:
            return ask(native, pair.a, *options).stdout.rstrip().split("|")[1].split(" ")[2:]

        wait_for(drop)
        both = servers.nstat(pair.a, "TcpExtListenDrops")["TcpExtListenDrops"]
        assert both == sum(queue.drops for queue in servers.queues(pair.a)[label])
        assert drops() == [f"'drops'={both}", f"'ListenDrops'={both}c"]
        workers[0].close()
        (left,) = servers.queues(pair.a)[label]
        assert left.drops < both
        assert drops() == [f"'drops'={left.drops}", f"'ListenDrops'={both}c"]
        # Other namespaces come and go, and so would their sum.
        assert drops(f"--netns={pair.a}") == [f"'drops'={left.drops}"]


def test_both_families_on_one_port_are_two_listeners(pair: Pair, native: Command) -> None:
    with servers.sockets() as made:
        made.listen(pair.a, pair.a4, PORT, 3)
        made.listen(pair.a, pair.a6, PORT, 3)
        made.crowd(pair.b, pair.a, (pair.a4, PORT), 2)
        made.crowd(pair.b, pair.a, (pair.a6, PORT), 1)
        four, six = LABELS[pair.a4], LABELS[pair.a6]
        expected = {four: Queue(2, 3, 0), six: Queue(1, 3, 0)}
        settle(pair.a, four, 2)
        settle(pair.a, six, 1)
        assert found(ask(native, pair.a, "--format=json")) == expected
        for kind, label in (("tcp", four), ("tcp6", six)):
            done = ask(native, pair.a, "--format=json", f"--conn-type={kind}")
            assert found(done) == {label: expected[label]}
        done = ask(native, pair.a, "--format=json", f"--local-address={pair.a6}")
        assert found(done) == {six: expected[six]}
        assert ask(native, pair.a, f"--local-port={PORT + 1}").stdout == (
            f"No listeners at port {PORT + 1} found.|'fullest'=0%;;;0;100 'listeners'=0\n"
        )


# A few listeners, asked by everybody in every way.

LISTENERS = {
    f"{Pair.a4}:8005": Queue(3, 5, 0),
    f"[{Pair.a6}]:8005": Queue(6, 5, 3),
    "0.0.0.0:8000": Queue(0, 0, 0),
    f"{Pair.a4}:8001": Queue(1, 0, 2),
    "[::]:8128": Queue(1, 128, 0),
}
# The fullest first.
MESSAGE = (
    "192.0.2.1:8001: 200% (1 of 0, 2 dropped), [2001:db8::1]:8005: 120% (6 of 5, 3 dropped), "
    "192.0.2.1:8005: 60% (3 of 5), [::]:8128: 0.78% (1 of 128), 0.0.0.0:8000: 0% (0 of 0)"
)
PERFDATA = "'fullest'=200%;;;0;100 'listeners'=5 'drops'=5 'ListenDrops'=5c"


def fill(made: Sockets, pair: Pair, listeners: Mapping[str, Queue]) -> None:
    """Listen on these addresses of `pair.a`, with clients in `pair.b`."""
    for label, queue in listeners.items():
        host, _, port = label.rpartition(":")
        host = host.strip("[]")
        made.listen(pair.a, host, int(port), queue.of)
        to = pair.a4 if host in ("0.0.0.0", "::") else host  # noqa: S104
        made.crowd(pair.b, pair.a, (to, int(port)), queue.waiting + queue.drops)
        settle(pair.a, label, queue.waiting)


@pytest.fixture(scope="module")
def site() -> Iterator[Pair]:
    """Return two namespaces: in `a` are the listeners, and connections of none."""
    with namespaces.pair() as made, servers.sockets() as held:
        fill(held, made, LISTENERS)
        queues = servers.queues(made.a)
        # Requests may have come twice before they were given up.
        assert {label: row[0][:2] for label, row in queues.items()} == {
            label: queue[:2] for label, queue in LISTENERS.items()
        }
        if {label: row[0] for label, row in queues.items()} != LISTENERS:
            pytest.fail("the machine is so slow that requests were sent again")
        yield made


@pytest.fixture(scope="module", params=USERS)
def someone(
    request: pytest.FixtureRequest, site: Pair, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(site.a, request.param, nobodys) as made:
        yield made


@pytest.mark.parametrize("way", WAYS)
def test_everybody_sees_them_in_every_format(someone: Asker, way: str) -> None:
    for source in ((), ("--source=netlink",)):
        done = someone.run(way, MEASURE, *source)
        assert done == Done(f"{MESSAGE}|{PERFDATA}\n", "", 0)
    done = someone.run(way, MEASURE, "--format=json", "-w=60", "-c=8001=99")
    assert (done.stderr, done.returncode) == ("", 2)
    report = json.loads(done.stdout)
    assert found(done) == LISTENERS
    assert report["measure"] == "accept-queue"
    assert report["source"] == "netlink"
    assert report["total"] == 11
    states = {group["label"]: group["state"] for group in report["groups"]}
    assert states.pop(FULL) == 1
    assert states.pop(FULL_OF_0) == 2
    assert set(states.values()) == {0}
    assert [group["percent"] for group in report["groups"]] == sorted(
        (group["percent"] for group in report["groups"]), reverse=True
    )


def test_the_api_has_it_too(someone: Asker) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("check", {"measure": "accept-queue"}),
        ("check", {"measure": "accept-queue", "warning": "60", "critical": "8001=99"}),
        ("check", {"measure": "accept-queue", "group_by": "type"}),
        ("check", {"measure": "accept-queue", "statuses": "listen"}),
        ("check", {"measure": "accept-queue", "zero": True}),
        ("check", {"measure": "accept-queue", "types": "udp"}),
        ("check", {"measure": "queue"}),
        ("check", {"measure": "accept-queue", "source": "procfs"}),
        ("count_connections", {"measure": "accept-queue"}),
    ]
    plain, judged, *wrong = someone.api(calls)
    assert (plain["state"], plain["message"], plain["perfdata"]) == (0, MESSAGE, PERFDATA)
    assert plain["counts"] == {label: queue.waiting for label, queue in LISTENERS.items()}
    assert plain["text"] == f"{MESSAGE}|{PERFDATA}"
    assert judged["state"] == 2
    assert json.loads(judged["json"])["measure"] == "accept-queue"
    assert [answer["error"] for answer in wrong[:5]] == ["ValueError"] * 5, wrong
    assert "does not tell the queue limits" in wrong[5]["text"]
    assert wrong[6]["error"] == "TypeError"


SAMPLE = re.compile(r'^(network_connections_accept_queue_\w+)\{listener="([^"]*)"\} (\d+)$', re.M)


@pytest.mark.parametrize("way", WAYS)
def test_prometheus_has_series_of_every_listener(someone: Asker, way: str) -> None:
    done = someone.run(way, MEASURE, "--format=prometheus", "--top=1", "-w60")
    assert (done.stderr, done.returncode) == ("", 1)
    samples = {(name, label): int(value) for name, label, value in SAMPLE.findall(done.stdout)}
    prefix = "network_connections_accept_queue"
    assert samples == {
        (f"{prefix}_{name}", label): value
        for label, queue in LISTENERS.items()
        for name, value in zip(("connections", "limit", "drops_total"), queue)
    }
    assert f"# TYPE {prefix}_drops_total counter\n" in done.stdout
    assert f"# TYPE {prefix}_limit gauge\n" in done.stdout
    assert "\nnetwork_connections_check_state 1\n" in done.stdout


@pytest.mark.parametrize("options", [(), ("--local-port=9",), ("-c=9=1:",)], ids=" ".join)
def test_promtool_finds_no_fault(site: Pair, native: Command, options: tuple[str, ...]) -> None:
    done = ask(native, site.a, "--format=prometheus", *options)
    assert harness.is_fine(done.stdout)


FULL, WAITING = f"[{Pair.a6}]:8005", f"{Pair.a4}:8005"
# The kernel lets one connection wait and drops the next one.
FULL_OF_0 = f"{Pair.a4}:8001"


@pytest.mark.parametrize(
    ("options", "state", "alerts", "limits"),
    [
        (["-w=200"], 0, {}, "200;"),
        (["-w=120"], 1, {FULL_OF_0: "WARNING"}, "120;"),
        (["-w=119.9"], 1, {FULL_OF_0: "WARNING", FULL: "WARNING"}, "119.9;"),
        (
            ["-w=50", "-c=100"],
            2,
            {FULL_OF_0: "CRITICAL", FULL: "CRITICAL", WAITING: "WARNING"},
            "50;100",
        ),
        # By a port, whatever its address; an address with it is closer.
        (["-w=8005=50"], 1, {FULL: "WARNING", WAITING: "WARNING"}, ";"),
        ([f"-w=8005=50,{FULL}=200"], 1, {WAITING: "WARNING"}, ";"),
        ([f"-c={WAITING}=59.99,8005=200"], 2, {WAITING: "CRITICAL"}, ";"),
        ([f"-c={WAITING}=60"], 0, {}, ";"),
        (["-w=0,8005=200,8001=200"], 1, {"[::]:8128": "WARNING"}, "200;"),
        (["-c=8001=199.9"], 2, {FULL_OF_0: "CRITICAL"}, ";199.9"),
        ([f"-w=[::FFFF:{Pair.a4}]:8005=59"], 1, {WAITING: "WARNING"}, ";"),
        (["-w=@59:61"], 1, {WAITING: "WARNING"}, "@59:61;"),
        # An empty queue is not full, whatever its limit is.
        (["-c=8000=0"], 0, {}, ";"),
        (["-c=9=1:"], 2, {"9": "CRITICAL"}, ";"),
        ([f"-c={Pair.a4}:8000=1:"], 2, {f"{Pair.a4}:8000": "CRITICAL"}, ";"),
        (["-c=9=50"], 0, {}, ";"),
        (
            ["-c=50", "--always-ok"],
            0,
            {FULL_OF_0: "CRITICAL", FULL: "CRITICAL", WAITING: "CRITICAL"},
            ";50",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_thresholds(
    site: Pair,
    native: Command,
    options: list[str],
    state: int,
    alerts: dict[str, str],
    limits: str,
) -> None:
    done = ask(native, site.a, *options)
    assert (done.stderr, done.returncode) == ("", state)
    message, _, perfdata = done.stdout[:-1].partition("|")
    assert dict(re.findall(r"(?:^|, )(\S+:\d+|\d+): [^,(]*(?:\([^)]*\))? ?\[(\w+)\]", message)) == (
        alerts
    ), message
    if ";" not in limits:
        limits += ";"
    assert perfdata == f"'fullest'=200%;{limits};0;100 'listeners'=5 'drops'=5 'ListenDrops'=5c"


def test_the_messages_of_the_documentation(site: Pair, native: Command) -> None:
    done = ask(native, site.a, "-w=50", "-c=100,8001=200", "--top=3")
    assert done.stdout == (
        f"{FULL_OF_0}: 200% (1 of 0, 2 dropped) [WARNING], "
        f"{FULL}: 120% (6 of 5, 3 dropped) [CRITICAL], "
        f"{WAITING}: 60% (3 of 5) [WARNING], and 2 more"
        "|'fullest'=200%;50;200;0;100 'listeners'=5 'drops'=5 'ListenDrops'=5c\n"
    )


def test_top_prints_the_worst_and_then_the_fullest(site: Pair, native: Command) -> None:
    for options, labels, left_out in (
        (["--top=1"], [FULL_OF_0], 4),
        (["--top=2", f"-c={WAITING}=50"], [FULL_OF_0, WAITING], 3),
        (["--top=1", f"-c={WAITING}=50"], [WAITING], 4),
        (["--top=5"], [FULL_OF_0, FULL, WAITING, "[::]:8128", "0.0.0.0:8000"], 0),
    ):
        done = ask(native, site.a, "--no-perfdata", *options)
        parts = re.findall(r"(?:^|, )(\S+:\d+): ", done.stdout)
        assert parts == labels
        assert done.stdout.endswith(f", and {left_out} more\n") == bool(left_out)


def test_no_perfdata(site: Pair, native: Command) -> None:
    assert ask(native, site.a, "--no-perfdata").stdout == f"{MESSAGE}\n"


@pytest.mark.parametrize(
    "options",
    [
        ("--conn-type=tcp", "-c=[::1]:80=5"),
        ("--conn-type=tcp", f"-w=[{Pair.a6}]:8005=5"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "asked", [MEASURE, "--measure=ephemeral-ports", "--group-by=local-endpoint"]
)
def test_a_key_of_a_type_that_is_not_selected_is_refused(
    site: Pair, native: Command, asked: str, options: tuple[str, ...]
) -> None:
    """As one of an address alone is."""
    by_address = ("--group-by=local-address", options[0], "-c=::1=5")
    with namespaces.inside(site.a):
        assert "is the key of no group" in one_line(native.run(*by_address))
        assert "is the key of no group" in one_line(native.run(asked, *options))


def test_nothing_found_has_its_state(native: Command, pair: Pair) -> None:
    done = ask(native, pair.b, "--no-match-severity=crit")
    assert (done.stdout, done.returncode) == (
        "No listeners found. [CRITICAL]|'fullest'=0%;;;0;100 'listeners'=0\n",
        2,
    )


# Who has them.


HEADER = ["Listener", "Process", "Unit", "User", "Queue", "Limit", "Drops"]


@pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")
def test_lengthy_says_whose_listeners_they_are(nobodys: Mapping[str, Command]) -> None:
    check = [*nobodys["native"].argv, "--timeout=60", MEASURE]
    with owners.host(check) as host, servers.sockets() as made:
        pair = host.pair
        web = host.start("web", host.cgroup("web.service"), 1)
        web.do("listen", pair.a4, 8005, 5)
        web.do("fork", 2)
        api = host.start("api", host.cgroup("api.service"))
        api.do("listen", "::", 8006, 0)
        made.crowd(pair.b, pair.a, (pair.a4, 8005), 9)
        made.crowd(pair.b, pair.a, (pair.a4, 8006), 1)
        settle(pair.a, f"{pair.a4}:8005", 6)
        settle(pair.a, "[::]:8006", 1)
        drops = str(servers.queues(pair.a)[f"{pair.a4}:8005"][0].drops)
        for user, holders in (
            ("root", (f"web ({web.pid}) +2", f"api ({api.pid})")),
            ("nobody", ("(other users' processes)",) * 2),
        ):
            done = Done(*host.ask("--lengthy", "-w50", user=user))
            assert (done.stderr, done.returncode) == ("", 1)
            of_web = [f"{pair.a4}:8005", holders[0], "web.service", "daemon", "6", "5", drops]
            assert harness.table(done, f"{pair.a4}:8005") == [HEADER, of_web]
            of_api = ["[::]:8006", holders[1], "api.service", "root", "1", "0", "0"]
            assert harness.table(done, "[::]:8006") == [HEADER, of_api]
            # Where all is fine it is the fullest.
            done = Done(*host.ask("--lengthy", user=user))
            assert done.stdout.count("by owner:") == 1
            assert harness.table(done, "[::]:8006") == [HEADER, of_api]


def test_lengthy_tells_the_queues_of_one_port_apart(native: Command, pair: Pair) -> None:
    """Workers with SO_REUSEPORT have a queue each, and one of them may be stuck."""
    script = """
import socket, sys
made = socket.socket()
made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
made.bind((sys.argv[1], int(sys.argv[2])))
made.listen(int(sys.argv[3]))
print(flush=True)
sys.stdin.read()
"""
    with contextlib.ExitStack() as workers, servers.sockets() as made:
        for backlog in (1, 5):
            with namespaces.inside(pair.a):
                line = [sys.executable, "-c", script, pair.a4, str(PORT + 1), str(backlog)]
                pipe = subprocess.PIPE
                worker = subprocess.Popen(line, stdin=pipe, stdout=pipe)
            workers.enter_context(worker)
            workers.callback(worker.kill)
            assert worker.stdout is not None
            worker.stdout.readline()
        label = f"{pair.a4}:{PORT + 1}"
        made.crowd(pair.b, pair.a, (pair.a4, PORT + 1), 12)
        done = ask(native, pair.a, "--lengthy", "--timeout=60", f"--local-port={PORT + 1}")
        cells = harness.columns(harness.rows(done, label), "Queue", "Limit", "Drops")
        found = [[int(cell) for cell in row] for row in cells]
        assert sorted(found) == sorted(map(list, servers.queues(pair.a)[label]))


# Other network namespaces.


def test_listeners_are_told_apart_by_their_namespace(native: Command) -> None:
    with namespaces.pair() as made, servers.sockets() as held:
        other = Pair(a=made.b, b=made.a, a4=made.b4, b4=made.a4, a6=made.b6, b6=made.a6)
        fill(held, made, {"0.0.0.0:8080": Queue(3, 5, 0), f"[{made.a6}]:443": Queue(0, 5, 0)})
        fill(held, other, {"0.0.0.0:8080": Queue(1, 0, 2)})
        both = [f"--netns={made.a}", f"--netns={made.b}"]
        ours, theirs = (f"0.0.0.0:8080 in {ns}" for ns in (made.a, made.b))

        def run(*options: str) -> Done:
            return ask(native, made.a, *both, *options)

        assert found(run("--format=json")) == {
            theirs: Queue(1, 0, 2),
            ours: Queue(3, 5, 0),
            f"[{made.a6}]:443 in {made.a}": Queue(0, 5, 0),
        }
        report = json.loads(run("--format=json").stdout)
        assert report["netns"] == {"seen": 2, "unseen": 0, "doubtful": 0}
        assert f"{theirs}: 200% (1 of 0, 2 dropped), {ours}: 60% (3 of 5)" in run().stdout
        samples = {
            label: value
            for name, label, value in SAMPLE.findall(run("--format=prometheus").stdout)
            if name.endswith("_connections")
        }
        assert samples == {theirs: "1", ours: "3", f"[{made.a6}]:443 in {made.a}": "0"}
        for option, state in (
            ("8080=50", 2),
            (f"8080 in {made.a}=60", 0),
            (f"8080 in {made.a}=59", 2),
            (f"8080 in {made.b}=99", 2),
            (f"8080=60,8080 in {made.b}=200", 0),
            (f"8080=60,8080 in {made.b}=100", 2),
            (f"0.0.0.0:8080 in {made.a}=59,8080=200", 2),
            (f"443 in {made.a}=0", 0),
            (f"443 in {made.b}=1:", 2),
        ):
            assert run(f"--critical={option}").returncode == state, option
        (row,) = harness.rows(run("--lengthy", "-w50"), theirs)
        assert [*row] == [*HEADER, "Network namespace"]
        assert row["Listener"] == theirs
        assert [row[name] for name in ("Queue", "Limit", "Drops")] == ["1", "0", "2"]
        assert row["Network namespace"] == made.b
        # Of one alone, too, so that keys go on to hold when others come and go.
        done = ask(native, made.a, f"--netns={made.b}")
        expected = f"0.0.0.0:8080 in {made.b}: 200% (1 of 0, 2 dropped)|"
        assert done.stdout.startswith(expected)


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        ("8005 in {}=200,8005=50", 0),
        ("8005 in {}=50,8005=200", 2),
        (f"{FULL} in {{}}=200,{FULL}=50,8005=200", 0),
        (f"{FULL} in {{}}=50,{FULL}=200", 2),
    ],
)
def test_the_closest_key_holds_whichever_comes_last(
    native: Command, site: Pair, keys: str, state: int
) -> None:
    """As docs/thresholds.md says of all keys."""
    critical = f"-c={keys.format(site.a)}"
    assert ask(native, site.a, f"--netns={site.a}", critical).returncode == state


def test_in_a_key_upper_and_lower_case_are_the_same(native: Command, site: Pair) -> None:
    """As docs/incidents.md says, and as they are in a key of the namespace alone."""
    name = site.a.upper()
    with namespaces.inside(site.a):
        alone = native.run(f"--netns={site.a}", "--group-by=netns", f"-c={name}=0")
        assert alone.returncode == 2
    assert ask(native, site.a, f"--netns={site.a}", f"-c=8005 in {name}=50").returncode == 2


@pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")
def test_listeners_of_one_name_are_one_group(nobodys: Mapping[str, Command]) -> None:
    """A container may have several namespaces, which are one to a person."""
    with owners.host([*nobodys["native"].argv, "--timeout=60"]) as host, servers.sockets() as made:
        pair = host.pair
        container = host.cgroup(f"docker-{'d' * 64}.scope")
        label = f"0.0.0.0:{PORT} in docker:{'d' * 12}"
        actors = [host.start("web", container, ns=ns) for ns in (pair.a, pair.b)]
        for web, backlog in zip(actors, (5, 50)):
            web.do("listen", "0.0.0.0", PORT, backlog)  # noqa: S104
        made.crowd(pair.b, pair.a, (pair.a4, PORT), 8)
        full = settle(pair.a, f"0.0.0.0:{PORT}", 6)[0]
        netns = [str(web.pid) for web in actors]
        options = [MEASURE, *(f"--netns={pid}" for pid in netns)]
        # As without a measure: both are counted as one.
        counting = ["--group-by=netns", *options[1:], f"--local-port={PORT}"]
        assert host.ask(*counting).stdout.startswith(f"docker:{'d' * 12}: 8|")

        def run(*more: str) -> Done:
            return Done(*host.ask(*options, *more))

        assert run().stdout == (
            f"{shown(label, full)}|'fullest'=120%;;;0;100 'listeners'=1 'drops'={full.drops}\n"
        )
        assert [group["label"] for group in json.loads(run("--format=json").stdout)["groups"]] == [
            label
        ]
        # No series twice, of which node_exporter refuses all but one.
        samples = [sample[:2] for sample in SAMPLE.findall(run("--format=prometheus").stdout)]
        assert len(samples) == len(set(samples)) == 3
        with asker(pair.a, "root", nobodys) as someone:
            keywords = {"measure": "accept-queue", "netns": netns}
            (answer,) = someone.api([("check", keywords)])
            assert answer["counts"] == {label: 6}
            keywords = {"group_by": "local-endpoint", "netns": netns, "statuses": "listen"}
            (answer,) = someone.api([("count_connections", keywords)])
            assert answer == {label: 2}


def test_a_key_with_the_namespace_holds_where_it_is_the_only_one(
    native: Command, site: Pair
) -> None:
    done = ask(native, site.b, f"--netns={site.a}", f"-c=8005 in {site.a}=50")
    assert done.returncode == 2


def test_a_key_with_a_namespace_that_is_not_asked_for_is_refused(
    native: Command, site: Pair
) -> None:
    done = ask(native, site.a, f"-c=8005 in {site.b}=50")
    assert done.returncode == 3


def test_a_listener_on_a_link_has_its_label_as_key(native: Command) -> None:
    with namespaces.pair() as made, servers.sockets() as held:
        show = ["ip", "-6", "-o", "addr", "show", "dev", "lab", "scope", "link"]
        local = namespaces.run(made.a, show).stdout.split()[3].split("/")[0]
        server = held.make(made.a, "::")
        with namespaces.inside(made.a):
            index = socket.if_nametoindex("lab")

        def bound() -> bool:
            # Whether another host has this address is still being found out.
            with contextlib.suppress(OSError):
                server.bind((local, PORT, 0, index))
                return True
            return False

        wait_for(bound)
        server.listen(5)
        label = f"[{local}%lab]:{PORT}"
        assert found(ask(native, made.a, "--format=json")) == {label: Queue(0, 5, 0)}
        assert ask(native, made.a, f"-c={label}=1:").returncode == 2


@pytest.mark.parametrize("way", WAYS)
def test_what_may_not_be_entered_has_no_answer(someone: Asker, site: Pair, way: str) -> None:
    """What /proc shows of it is not enough."""
    with namespaces.inside(site.b):
        inhabitant = subprocess.Popen(["sleep", "infinity"])
    asked = [MEASURE, f"--netns={inhabitant.pid}"]
    try:
        # It is enough to know that nobody listens.
        done = someone.run(way, *asked)
        unseen = (
            "; unix listeners not seen: /proc has no queues of unix sockets (only netlink has them)"
        )
        message = f"No listeners found.{unseen if someone.user == 'nobody' else ''}"
        assert (done.stdout.split("|")[0], done.returncode) == (message, 0)
        if someone.user == "nobody":
            line = one_line(someone.run(way, *asked, "--conn-type=unix"))
            assert line.startswith(f"Network namespace {inhabitant.pid}: /proc has no queues")
            assert line.endswith("are needed to enter the network namespace")
        with servers.sockets() as held:
            held.listen(site.b, "::", PORT, 5)
            done = someone.run(way, *asked)
    finally:
        inhabitant.kill()
        inhabitant.wait()
    if someone.user == "root":
        assert done.stdout.startswith(f"[::]:{PORT} in {site.b}: 0% (0 of 5)|")
        return
    assert one_line(done) == (
        f"Network namespace {inhabitant.pid}: Cannot count TCP connections: procfs: the limits of "
        "accept queues are not known here (only netlink has them); CAP_SYS_ADMIN and "
        "CAP_SYS_PTRACE are needed to enter the network namespace"
    )


# What goes wrong.


@pytest.mark.parametrize("way", WAYS)
def test_without_netlink_there_is_no_answer(someone: Asker, tampered: Tampered, way: str) -> None:
    """/proc has the same sockets, but not how many may wait."""
    before = tampered(harness.NO_SOCKETS)
    line = one_line(someone.run(way, MEASURE, before=before))
    assert says("EPERM") in line
    assert line.endswith(
        "procfs: the limits of accept queues are not known here (only netlink has them)"
    )
    done = someone.run(way, MEASURE, "--source=netlink", before=before)
    assert says("EPERM") in one_line(done)


@pytest.mark.parametrize("code", ["EMFILE", "ENOMEM", "EACCES"])
@pytest.mark.parametrize("call", ["socket", "sendto", "recvfrom", "recvmsg"])
def test_no_error_gives_other_numbers(
    site: Pair, native: Command, tampered: Tampered, call: str, code: str
) -> None:
    for number in (1, 2, 3):
        before = tampered(f"{call}:error={code}:when={number}")
        done = ask(native, site.a, before=before)
        if done.returncode != 3:
            # The last thing that is asked for is unix listeners, which nobody has named.
            stdout = re.sub("; unix listeners not seen: [^|]*", "", done.stdout)
            assert (stdout, done.stderr) == (f"{MESSAGE}|{PERFDATA}\n", ""), number
        else:
            one_line(done)


def test_the_deadline_holds(native: Command, site: Pair, tampered: Tampered) -> None:
    start = time.monotonic()
    done = ask(native, site.a, "--timeout=0.5", before=tampered(harness.SILENT))
    assert one_line(done).startswith("Timeout: no answer within 0.5 s")
    assert time.monotonic() - start < harness.PATIENCE


# The groups by which listeners are told apart, for connections.


def test_groups_by_endpoints_are_those_of_ss(native: Command, site: Pair) -> None:
    def label(end: tuple[str, int]) -> str:
        host = str(canonical(end[0]))
        return f"[{host}]:{end[1]}" if ":" in host else f"{host}:{end[1]}"

    listed = oracles.read_ss(site.a)
    for by in ("local", "remote"):
        expected: dict[str, int] = {}
        for row in listed:
            end = label(row.local if by == "local" else row.remote)
            expected[end] = expected.get(end, 0) + 1
        with namespaces.inside(site.a):
            for source in ("netlink", "procfs"):
                done = native.run(
                    f"--group-by={by}-endpoint", "--format=json", f"--source={source}"
                )
                assert {name: group["count"] for name, group in groups(done).items()} == expected
                options = [f"--group-by={by}-endpoint", f"--source={source}"]
                (name, most) = max(expected.items(), key=lambda item: item[1])
                assert native.run(*options, f"-c={name}={most}").returncode == 0
                assert native.run(*options, f"-c={name}={most - 1}").returncode == 2
                line = one_line(native.run(*options, "-c=a=5"))
                valid = f"total, a selected {by} port, address, network, or address and port"
                assert f"valid: {valid}" in line
