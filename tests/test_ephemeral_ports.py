"""`--measure=ephemeral-ports`: how many of the ports towards a destination are in use."""

from __future__ import annotations

import errno
import json
import re
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import harness
import pytest
from asking import USERS, WAYS, Asker, asker
from conftest import Tampered
from harness import Command, Done, one_line, says
from lab import namespaces, owners, servers
from lab.namespaces import Pair
from lab.servers import Option, Sockets, wait_for
from lab.tools import lacking

pytestmark = [
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "-"),
    # A place is in Linux.
    pytest.mark.usefixtures("place"),
]

MEASURE = "--measure=ephemeral-ports"
FIRST, LAST, PORTS = 40000, 40099, 100
FOUR, SIX = (Pair.b4, 5432), (Pair.b6, 5432)
LABELS = {FOUR: f"{Pair.b4}:5432", SIX: f"[{Pair.b6}]:5432"}
NO_PORT = [(socket.IPPROTO_IP, servers.IP_BIND_ADDRESS_NO_PORT, 1)]
NOT_TOLD = (
    "The ports for outgoing connections cannot be read here "
    "(ip_local_port_range, ip_local_reserved_ports)"
)
NONE_LEFT = (
    "No port is left for outgoing connections: all of ip_local_port_range are in "
    "ip_local_reserved_ports or listened on"
)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return two hosts; `a` has 100 ports to give."""
    with namespaces.pair() as made:
        servers.ports(made.a, FIRST, LAST)
        yield made


@pytest.fixture
def held(pair: Pair) -> Iterator[Sockets]:
    """Return what makes sockets; on `b` servers listen."""
    with servers.sockets() as made:
        for to in (FOUR, SIX):
            made.listen(pair.b, *to, 4000)
        yield made


def ask(native: Command, ns: str, *options: str, before: Sequence[str] = ()) -> Done:
    with namespaces.inside(ns):
        return native.run(MEASURE, *options, before=before)


def used(done: Done) -> dict[str, tuple[int, int]]:
    """Return how many ports are in use towards each destination, and of how many."""
    assert done.stderr == ""
    groups = json.loads(done.stdout)["groups"]
    for group in groups:
        assert group["percent"] == pytest.approx(100 * group["count"] / group["of"])
        assert group["drops"] is None
    assert [group["percent"] for group in groups] == sorted(
        (group["percent"] for group in groups), reverse=True
    )
    return {group["label"]: (group["count"], group["of"]) for group in groups}


def measured(native: Command, ns: str, *options: str) -> dict[str, tuple[int, int]]:
    done = ask(native, ns, "--format=json", *options)
    assert done.returncode == 0
    return used(done)


def exhaust(
    held: Sockets,
    ns: str,
    to: tuple[str, int],
    source: str = "",
    options: Sequence[Option] = (),
) -> list[socket.socket]:
    """Connect until the kernel has no port left."""
    made: list[socket.socket] = []
    while len(made) <= PORTS:
        try:
            made.append(held.connect(ns, to, source, options))
        except OSError as error:
            assert error.errno == errno.EADDRNOTAVAIL, error
            return made
    raise AssertionError("more connections than ports")


# Until none is left.


@pytest.mark.parametrize("to", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_a_hundred_percent_is_when_the_kernel_has_none_left(
    pair: Pair, held: Sockets, native: Command, to: tuple[str, int]
) -> None:
    label = LABELS[to]
    assert measured(native, pair.a) == {}
    for number in range(1, PORTS + 1):
        # Below a hundred percent there is one more.
        held.connect(pair.a, to)
        if number in (1, 50, 99, 100):
            assert measured(native, pair.a) == {label: (number, PORTS)}
    with pytest.raises(OSError, match="Cannot assign requested address"):
        held.connect(pair.a, to)
    done = ask(native, pair.a, "-w=50", "-c=90")
    assert done.stdout == (
        f"{label}: 100% (100 of 100) [CRITICAL]|'fullest'=100%;50;90;0;100 'destinations'=1\n"
    )
    assert measured(native, pair.a, "--source=procfs") == {label: (PORTS, PORTS)}


def test_every_destination_has_all_ports(pair: Pair, held: Sockets, native: Command) -> None:
    held.listen(pair.b, pair.b4, 5433, 4000)
    assert len(exhaust(held, pair.a, FOUR)) == PORTS
    for _ in range(7):
        held.connect(pair.a, (pair.b4, 5433))
        held.connect(pair.a, SIX)
    assert measured(native, pair.a) == {
        LABELS[FOUR]: (100, 100),
        f"{pair.b4}:5433": (7, 100),
        LABELS[SIX]: (7, 100),
    }
    for option, labels in (
        ("--remote-port=5433", {f"{pair.b4}:5433"}),
        (f"--remote-address={pair.b4}", {f"{pair.b4}:5433", LABELS[FOUR]}),
        ("--conn-type=tcp6", {LABELS[SIX]}),
        (f"--local-address={pair.a6}", {LABELS[SIX]}),
    ):
        assert measured(native, pair.a, option).keys() == labels, option


def test_sockets_of_both_families_share_the_ports_towards_an_ipv4_address(
    pair: Pair, held: Sockets, native: Command
) -> None:
    for _ in range(40):
        held.connect(pair.a, (f"::ffff:{pair.b4}", 5432))
    assert len(exhaust(held, pair.a, FOUR)) == 60
    assert measured(native, pair.a) == {LABELS[FOUR]: (100, 100)}
    # As docs/incidents.md says, of one type alone it is less than what is in use.
    for kind, count in (("tcp", 60), ("tcp6", 40)):
        found = measured(native, pair.a, f"--conn-type={kind}")
        assert found == {LABELS[FOUR]: (count, 100)}


def test_reserved_ports_and_those_of_listeners_are_not_given(
    pair: Pair, held: Sockets, native: Command
) -> None:
    servers.ports(pair.a, FIRST, LAST, "40010-40019,40099-50000,80")
    listener = held.listen(pair.a, "127.0.0.1", 40050, 10)
    held.listen(pair.a, "::", 40051, 10)
    held.listen(pair.a, pair.a4, 8080, 10)
    assert len(exhaust(held, pair.a, FOUR)) == 87
    assert measured(native, pair.a) == {LABELS[FOUR]: (87, 87)}
    # As soon as nobody listens on it, it can be given.
    listener.close()
    assert measured(native, pair.a) == {LABELS[FOUR]: (87, 88)}
    assert len(exhaust(held, pair.a, FOUR)) == 1
    servers.ports(pair.a, FIRST, LAST + 10)
    assert measured(native, pair.a) == {LABELS[FOUR]: (88, 109)}
    assert len(exhaust(held, pair.a, FOUR)) == 21
    # What lies outside of the range is in use, but of no port that can be given.
    servers.ports(pair.a, FIRST, FIRST + 49)
    assert measured(native, pair.a) == {LABELS[FOUR]: (50, 50)}


def test_a_destination_that_does_not_answer_takes_ports_too(
    pair: Pair, held: Sockets, native: Command
) -> None:
    """Clients that try again and again, as of a server that has gone."""
    to = (pair.b4, 5433)
    label = f"{pair.b4}:5433"
    held.listen(pair.b, *to, 0)
    held.crowd(pair.a, pair.b, to, 1)
    for number in range(1, PORTS):
        client = held.make(pair.a, pair.b4)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.connect(to)
        assert number < PORTS // 2 or measured(native, pair.a) == {label: (number + 1, PORTS)}
    assert _lines(pair.a, ["ss", "-Htan", "state", "syn-sent"]) == PORTS - 1
    assert not _connects(held, pair.a, to)
    done = ask(native, pair.a, "--lengthy", "--timeout=60")
    assert done.stdout.startswith(f"{label}: 100% (100 of 100)\n")
    counts = {row["State"]: row["Connections"] for row in harness.rows(done, label)}
    assert counts == {"SYN SENT": "99", "ESTABLISHED": "1"}


@pytest.mark.parametrize("size", [1, 2, 50, 64])
def test_a_range_of_any_size_is_exhausted_at_a_hundred_percent(
    pair: Pair, held: Sockets, native: Command, size: int
) -> None:
    servers.ports(pair.a, FIRST, FIRST + size - 1)
    assert len(exhaust(held, pair.a, FOUR)) == size
    assert measured(native, pair.a) == {LABELS[FOUR]: (size, size)}


def test_of_an_odd_number_of_ports_the_kernel_may_keep_one(
    pair: Pair, held: Sockets, native: Command
) -> None:
    """As docs/incidents.md says: it looks at every second port first, as many as make pairs."""
    servers.ports(pair.a, FIRST, FIRST + 2)
    made = len(exhaust(held, pair.a, FOUR))
    assert made in (2, 3)
    assert measured(native, pair.a) == {LABELS[FOUR]: (made, 3)}


def test_a_socket_may_have_a_part_of_the_range_for_itself(
    pair: Pair, held: Sockets, native: Command
) -> None:
    """As docs/incidents.md says of IP_LOCAL_PORT_RANGE: it fails when that part is used up."""

    def part(first: int, last: int) -> list[Option]:
        value = struct.pack("=I", last << 16 | first)
        return [(socket.IPPROTO_IP, servers.IP_LOCAL_PORT_RANGE, value)]

    try:
        held.make(pair.a, pair.a4).setsockopt(*part(FIRST, LAST)[0])
    except OSError as error:
        # Linux 6.3 has it; before, all sockets have all of the range.
        assert error.errno == errno.ENOPROTOOPT
        assert len(exhaust(held, pair.a, FOUR)) == PORTS
        return
    assert len(exhaust(held, pair.a, FOUR, options=part(FIRST + 10, FIRST + 19))) == 10
    assert measured(native, pair.a) == {LABELS[FOUR]: (10, PORTS)}
    # Others still find the rest, as does who asks for what lies outside of the range.
    outside = part(LAST + 1, LAST + 10)
    assert len(exhaust(held, pair.a, FOUR, options=outside)) == PORTS - 10
    assert measured(native, pair.a) == {LABELS[FOUR]: (PORTS, PORTS)}


def test_the_local_address_that_uses_most_counts(
    pair: Pair, held: Sockets, native: Command
) -> None:
    second = "192.0.2.77"
    namespaces.run(None, ["ip", "-n", pair.a, "addr", "add", f"{second}/24", "dev", "lab"])
    for number in range(1, 31):
        held.connect(pair.a, FOUR, second, NO_PORT)
        assert number < 30 or measured(native, pair.a) == {LABELS[FOUR]: (30, 100)}
    # The same ports once more, from the address that the kernel takes.
    assert len(exhaust(held, pair.a, FOUR)) == 100
    assert measured(native, pair.a) == {LABELS[FOUR]: (100, 100)}
    assert measured(native, pair.a, f"--local-address={second}") == {LABELS[FOUR]: (30, 100)}
    assert len(exhaust(held, pair.a, FOUR, second, NO_PORT)) == 70
    assert measured(native, pair.a, f"--local-address={second}") == {LABELS[FOUR]: (100, 100)}


def test_an_address_without_a_port_is_bound_as_none(
    pair: Pair, held: Sockets, native: Command
) -> None:
    """IP_BIND_ADDRESS_NO_PORT: the port is chosen when it is known where it leads."""
    held.listen(pair.b, pair.b4, 5433, 4000)
    for to, label in ((FOUR, LABELS[FOUR]), ((pair.b4, 5433), f"{pair.b4}:5433")):
        assert len(exhaust(held, pair.a, to, pair.a4, NO_PORT)) == 100
        assert measured(native, pair.a)[label] == (100, 100)


def peers(server: socket.socket, count: int) -> list[socket.socket]:
    return [server.accept()[0] for _ in range(count)]


def test_what_waits_out_late_segments_is_in_use(pair: Pair, native: Command) -> None:
    with servers.sockets() as held:
        server = held.listen(pair.b, *FOUR, 4000)
        clients = [held.connect(pair.a, FOUR) for _ in range(60)]
        accepted = peers(server, 60)
        for client in clients[:40]:
            client.close()
        states = ["ss", "-Htan", "state"]
        wait_for(lambda: _lines(pair.a, [*states, "fin-wait-2"]) == 40)
        assert measured(native, pair.a) == {LABELS[FOUR]: (60, 100)}
        for other in accepted:
            other.setblocking(False)
            try:
                closed = other.recv(1) == b""
            except BlockingIOError:
                closed = False
            if closed:
                other.close()
        wait_for(lambda: _lines(pair.a, [*states, "time-wait"]) == 40)
        assert measured(native, pair.a) == {LABELS[FOUR]: (60, 100)}
        assert len(exhaust(held, pair.a, FOUR)) == 40
        done = ask(native, pair.a, "--lengthy", "--timeout=60")
        assert done.stdout.startswith(f"{LABELS[FOUR]}: 100% (100 of 100)\n")
        states_of = {row.pop("State"): row for row in harness.rows(done, LABELS[FOUR])}
        nobodys = dict.fromkeys(("Process", "Unit", "User"), "(kernel)")
        assert states_of["TIME WAIT"] == {"Connections": "40", **nobodys}
        assert states_of["ESTABLISHED"]["Connections"] == "60"
        # Allowed to take them again, the kernel does, after a second of theirs.
        namespaces.sysctl(pair.a, "net/ipv4/tcp_tw_reuse", 1)
        wait_for(lambda: _connects(held, pair.a, FOUR))
        assert measured(native, pair.a) == {LABELS[FOUR]: (100, 100)}


def test_on_loopback_the_kernel_takes_them_again(pair: Pair, native: Command) -> None:
    """As docs/incidents.md says: in use, though one more connection works."""
    to = ("127.0.0.1", 5432)
    label = "127.0.0.1:5432"
    with servers.sockets() as held:
        server = held.listen(pair.a, *to, 4000)
        clients = exhaust(held, pair.a, to)
        for client in clients:
            client.close()
        for other in peers(server, len(clients)):
            other.close()
        wait_for(lambda: _lines(pair.a, ["ss", "-Htan", "state", "time-wait"]) == 100)
        assert measured(native, pair.a) == {label: (100, 100)}
        wait_for(lambda: _connects(held, pair.a, to))
        assert measured(native, pair.a) == {label: (100, 100)}


def _lines(ns: str, line: Sequence[str]) -> int:
    return len(namespaces.run(ns, line).stdout.splitlines())


def _connects(held: Sockets, ns: str, to: tuple[str, int]) -> bool:
    try:
        held.connect(ns, to)
    except OSError as error:
        assert error.errno == errno.EADDRNOTAVAIL, error
        return False
    return True


def test_what_comes_in_is_not_counted(pair: Pair, held: Sockets, native: Command) -> None:
    """Also where somebody listens on a port of the range."""
    listener = held.listen(pair.a, "::", 40050, 100)
    for to in ((pair.a4, 40050), (pair.a6, 40050)):
        for _ in range(5):
            held.connect(pair.b, to)
    assert measured(native, pair.a) == {}
    accepted = [listener.accept()[0] for _ in range(10)]
    assert measured(native, pair.a) == {}
    # On loopback one end of each goes out.
    for _ in range(3):
        held.connect(pair.a, ("127.0.0.1", 40050))
    assert measured(native, pair.a) == {"127.0.0.1:40050": (3, 99)}
    for one in accepted:
        one.close()


# A few destinations, asked by everybody in every way.

DESTINATIONS = {f"{Pair.b4}:5432": 60, f"[{Pair.b6}]:5432": 30, f"{Pair.b4}:5433": 5}
MESSAGE = (
    f"{Pair.b4}:5432: 60% (60 of 100), [{Pair.b6}]:5432: 30% (30 of 100), "
    f"{Pair.b4}:5433: 5% (5 of 100)"
)
PERFDATA = "'fullest'=60%;;;0;100 'destinations'=3"


@pytest.fixture(scope="module")
def site() -> Iterator[Pair]:
    """Return two namespaces; from `a` connections lead to `b`."""
    with namespaces.pair() as made, servers.sockets() as held:
        servers.ports(made.a, FIRST, LAST)
        for label, count in DESTINATIONS.items():
            host, _, port = label.rpartition(":")
            to = (host.strip("[]"), int(port))
            held.listen(made.b, *to, 4000)
            for _ in range(count):
                held.connect(made.a, to)
        yield made


@pytest.fixture(scope="module", params=USERS)
def someone(
    request: pytest.FixtureRequest, site: Pair, nobodys: Mapping[str, Command]
) -> Iterator[Asker]:
    with asker(site.a, request.param, nobodys) as made:
        yield made


@pytest.mark.parametrize("source", ["auto", "netlink", "procfs"])
@pytest.mark.parametrize("way", WAYS)
def test_everybody_sees_them_in_every_format(someone: Asker, way: str, source: str) -> None:
    asked = [MEASURE, f"--source={source}"]
    assert someone.run(way, *asked) == Done(f"{MESSAGE}|{PERFDATA}\n", "", 0)
    done = someone.run(way, *asked, "--format=json", "-w=50")
    report = json.loads(done.stdout)
    assert used(done) == {label: (count, 100) for label, count in DESTINATIONS.items()}
    assert (report["measure"], report["total"], report["state"]) == ("ephemeral-ports", 95, 1)
    assert [group["state"] for group in report["groups"]] == [1, 0, 0]
    done = someone.run(way, *asked, "--format=prometheus", "-w=50")
    assert (done.stderr, done.returncode) == ("", 1)
    lines = done.stdout.splitlines()
    assert "network_connections_ephemeral_ports_used_ratio 0.6" in lines
    assert "network_connections_ephemeral_ports_destinations 3" in lines
    assert "network_connections_check_state 1" in lines


def test_the_api_has_it_too(someone: Asker) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("check", {"measure": "ephemeral-ports"}),
        ("check", {"measure": "ephemeral-ports", "critical": "5433=4", "top": 1}),
        ("check", {"measure": "ephemeral-ports", "group_by": "remote-address"}),
        ("check", {"measure": "ephemeral-ports", "local_port": 443}),
    ]
    plain, judged, *wrong = someone.api(calls)
    assert (plain["state"], plain["message"], plain["perfdata"]) == (0, MESSAGE, PERFDATA)
    assert plain["counts"] == DESTINATIONS
    message = f"{Pair.b4}:5433: 5% (5 of 100) [CRITICAL], and 2 more"
    assert (judged["state"], judged["message"]) == (2, message)
    assert [answer["error"] for answer in wrong] == ["ValueError"] * 2


@pytest.mark.skipif(bool(lacking("promtool")), reason=lacking("promtool") or "-")
@pytest.mark.parametrize("options", [(), ("--remote-port=9",)], ids=" ".join)
def test_promtool_finds_no_fault(site: Pair, native: Command, options: tuple[str, ...]) -> None:
    done = ask(native, site.a, "--format=prometheus", *options)
    assert harness.promtool(done.stdout) == Done("", "", 0)


@pytest.mark.parametrize("text", ["100", "0:100", "150", "5432=100", "0:"])
def test_a_threshold_of_100_percent_is_refused(native: Command, text: str) -> None:
    """It would never alert: there cannot be more."""
    line = one_line(native.run(MEASURE, f"-c={text}"))
    assert line == (
        f'--critical: "{text}" never alerts: 100% is the most there can be (valid: less, as in 90)'
    )


@pytest.mark.parametrize(
    ("options", "state", "alerts", "limits"),
    [
        (["-w=60"], 0, [], "60;"),
        (["-w=59.9", "-c=80"], 1, [f"{Pair.b4}:5432"], "59.9;80"),
        (["-c=29"], 2, [f"{Pair.b4}:5432", f"[{Pair.b6}]:5432"], ";29"),
        (["-c=5432=50"], 2, [f"{Pair.b4}:5432"], ";50"),
        (["-c=5432=29"], 2, [f"{Pair.b4}:5432", f"[{Pair.b6}]:5432"], ";29"),
        ([f"-c=5432=29,{Pair.b4}:5432=90"], 2, [f"[{Pair.b6}]:5432"], ";90"),
        ([f"-w=4,[{Pair.b6}]:5432=90,5432=90"], 1, [f"{Pair.b4}:5433"], "90;"),
        ([f"-w={Pair.b4}:5433=5"], 0, [], ";"),
        (["-w=@25:35"], 1, [f"[{Pair.b6}]:5432"], "@25:35;"),
        # A destination that must be there, and is not.
        (["-c=6432=1:"], 2, ["6432"], ";"),
        (["-c=6432=90"], 0, [], ";"),
        (["-c=50", "--always-ok"], 0, [f"{Pair.b4}:5432"], ";50"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_thresholds(
    site: Pair, native: Command, options: list[str], state: int, alerts: list[str], limits: str
) -> None:
    done = ask(native, site.a, *options)
    assert (done.stderr, done.returncode) == ("", state)
    message, _, perfdata = done.stdout[:-1].partition("|")
    groups = re.findall(r"(?:^|, )([^ ,]+): [^,]*\[\w+\]", message)
    assert groups == alerts
    assert perfdata == f"'fullest'=60%;{limits};0;100 'destinations'=3"


def test_top_and_nothing(site: Pair, native: Command) -> None:
    done = ask(native, site.a, "--top=1", "--no-perfdata")
    assert done.stdout == f"{Pair.b4}:5432: 60% (60 of 100), and 2 more\n"
    done = ask(native, site.a, "--remote-port=9", "--no-match-severity=warn")
    assert (done.stdout, done.returncode) == (
        "No destinations to port 9 found. [WARNING]|'fullest'=0%;;;0;100 'destinations'=0\n",
        1,
    )


# Who has them.


@pytest.mark.skipif(bool(owners.missing()), reason=owners.missing() or "-")
def test_lengthy_says_who_has_them_in_which_state(nobodys: Mapping[str, Command]) -> None:
    check = [*nobodys["native"].argv, "--timeout=60", MEASURE]
    with owners.host(check) as host:
        pair = host.pair
        servers.ports(pair.a, FIRST, LAST)
        database = host.start("database", ns=pair.b)
        database.do("listen", *FOUR)
        app = host.start("app", host.cgroup("app.service"), 1)
        app.do("connect", *FOUR, 20)
        database.do("accept", 5432, 20)
        database.do("shut", 5432, 8)
        cron = host.start("cron", host.cgroup("cron.service"))
        cron.do("connect", *FOUR, 5)
        closed = ["ss", "-Htan", "state", "close-wait"]
        wait_for(lambda: _lines(pair.a, closed) == 8)
        for user, holders in (
            ("root", (f"app ({app.pid})", f"cron ({cron.pid})")),
            ("nobody", ("(other users' processes)",) * 2),
        ):
            done = Done(*host.ask("--lengthy", "-w20", user=user))
            assert (done.stderr, done.returncode) == ("", 1)
            assert done.stdout.startswith(f"{LABELS[FOUR]}: 25% (25 of 100) [WARNING]\n\n")
            assert harness.table(done, LABELS[FOUR]) == [
                ["Connections", "Process", "Unit", "User", "State"],
                ["12", holders[0], "app.service", "daemon", "ESTABLISHED"],
                ["8", holders[0], "app.service", "daemon", "CLOSE WAIT"],
                ["5", holders[1], "cron.service", "root", "ESTABLISHED"],
            ]
            assert ", by peer:" not in done.stdout


# Other network namespaces.


def test_each_namespace_has_ports_of_its_own(native: Command, pair: Pair, held: Sockets) -> None:
    servers.ports(pair.b, 50000, 50019)
    held.listen(pair.a, pair.a4, 5432, 100)
    for _ in range(50):
        held.connect(pair.a, FOUR)
    for _ in range(20):
        held.connect(pair.b, (pair.a4, 5432))
    ours, theirs = f"{pair.b4}:5432 in {pair.a}", f"{pair.a4}:5432 in {pair.b}"
    both = [f"--netns={pair.a}", f"--netns={pair.b}"]
    assert measured(native, pair.a, *both) == {ours: (50, 100), theirs: (20, 20)}
    for option, state in (
        (f"5432 in {pair.a}=50", 0),
        (f"5432 in {pair.a}=49", 2),
        (f"{pair.a4}:5432 in {pair.b}=99", 2),
        ("0,5432=99.9", 2),
    ):
        assert ask(native, pair.a, *both, f"-c={option}").returncode == state, option
    rows = harness.rows(ask(native, pair.a, *both, "--lengthy", "--timeout=60"), theirs)
    assert harness.columns(rows, "State", "Network namespace")[0] == ["ESTABLISHED", pair.b]
    assert [*rows[0]][-2:] == ["State", "Network namespace"]
    assert measured(native, pair.a, f"--netns={pair.b}") == {theirs: (20, 20)}
    # Where one of them has none to give, there is no answer.
    servers.ports(pair.b, 50000, 50019, "50000-50019")
    assert one_line(ask(native, pair.a, *both)) == f"Network namespace {pair.b}: {NONE_LEFT}"
    assert measured(native, pair.a) == {LABELS[FOUR]: (50, 100)}


@pytest.mark.parametrize("way", WAYS)
def test_what_may_not_be_entered_has_no_answer(someone: Asker, site: Pair, way: str) -> None:
    """What /proc shows of it is not enough."""
    with namespaces.inside(site.b):
        inhabitant = subprocess.Popen(["sleep", "infinity"])
    try:
        done = someone.run(way, MEASURE, f"--netns={inhabitant.pid}")
    finally:
        inhabitant.kill()
        inhabitant.wait()
    if someone.user == "root":
        assert (done.stderr, done.returncode) == ("", 0)
        assert done.stdout.startswith("No ")
        return
    rights = "CAP_SYS_ADMIN and CAP_SYS_PTRACE are needed to enter the network namespace"
    assert one_line(done) == f"Network namespace {inhabitant.pid}: {NOT_TOLD}; {rights}"


# What goes wrong.


@pytest.mark.parametrize("way", WAYS)
def test_without_netlink_proc_tells_the_same(someone: Asker, tampered: Tampered, way: str) -> None:
    before = tampered(harness.NO_SOCKETS)
    assert someone.run(way, MEASURE, before=before) == Done(f"{MESSAGE}|{PERFDATA}\n", "", 0)
    done = someone.run(way, MEASURE, "--format=json", before=before)
    assert json.loads(done.stdout)["source"] == "procfs"
    done = someone.run(way, MEASURE, "--source=netlink", before=before)
    assert says("EPERM") in one_line(done)


@pytest.mark.parametrize("source", ["netlink", "procfs"])
@pytest.mark.parametrize("listed", ["some", "every second of many"])
def test_reserved_ports_are_left_out_however_long_their_list_is(
    pair: Pair, held: Sockets, native: Command, listed: str, source: str
) -> None:
    """What the kernel does not hand out in one piece it does not hand out at all."""
    inside = range(FIRST, LAST + 1, 2)
    others = range(1025, 32768, 2) if listed != "some" else range(0)
    servers.ports(pair.a, FIRST, LAST, ",".join(map(str, (*others, *inside))))
    assert len(exhaust(held, pair.a, FOUR)) == 50
    assert measured(native, pair.a, f"--source={source}") == {LABELS[FOUR]: (50, 50)}


@pytest.mark.parametrize("call", [harness.OPEN, "read"])
@pytest.mark.parametrize("code", ["EMFILE", "EACCES", "EIO"])
def test_reserved_ports_that_cannot_be_read_are_not_taken_for_none(
    pair: Pair, held: Sockets, native: Command, tampered: Tampered, call: str, code: str
) -> None:
    servers.ports(pair.a, FIRST, LAST, f"{FIRST}-{FIRST + 49}")
    assert len(exhaust(held, pair.a, FOUR)) == 50
    only = "/proc/sys/net/ipv4/ip_local_reserved_ports"
    one_line(ask(native, pair.a, before=tampered(f"{call}:error={code}", only=only)))


@pytest.mark.parametrize("call", [harness.OPEN, "read"])
def test_a_range_that_cannot_be_read_is_no_answer(
    site: Pair, native: Command, tampered: Tampered, call: str
) -> None:
    only = "/proc/sys/net/ipv4/ip_local_port_range"
    for code in ("EMFILE", "EACCES", "EIO", "ENOENT"):
        before = tampered(f"{call}:error={code}", only=only)
        assert one_line(ask(native, site.a, before=before)) == f"{NOT_TOLD}: {says(code)}"


@pytest.mark.parametrize("setting", ["ip_local_port_range", "ip_local_reserved_ports"])
def test_where_nothing_tells_the_ports_there_is_no_answer(
    site: Pair, native: Command, tmp_path: Path, setting: str
) -> None:
    text = tmp_path / "setting"
    before = owners.private(f"mount --bind {text} /proc/sys/net/ipv4/{setting}")
    for content in ("some ports", "40000-x", "70000 80000"):
        text.write_text(content, encoding="ascii")
        assert one_line(ask(native, site.a, before=before)) == NOT_TOLD, content


@pytest.mark.parametrize("taken_by", ["reserved", "listened on"])
def test_a_host_without_ports_has_no_answer(
    pair: Pair, held: Sockets, native: Command, taken_by: str
) -> None:
    last, reserved = (LAST, f"{FIRST}-{LAST}") if taken_by == "reserved" else (FIRST, "")
    servers.ports(pair.a, FIRST, last, reserved)
    if not reserved:
        held.listen(pair.a, pair.a4, FIRST, 1)
    assert one_line(ask(native, pair.a)) == NONE_LEFT


@pytest.mark.parametrize("code", ["EMFILE", "ENOMEM", "EACCES"])
@pytest.mark.parametrize("call", ["socket", "sendto", "recvfrom", "recvmsg", harness.OPEN])
def test_no_error_gives_other_numbers(
    site: Pair, native: Command, tampered: Tampered, call: str, code: str
) -> None:
    for number in (*range(1, 7), 10, 20):
        before = tampered(f"{call}:error={code}:when={number}")
        done = ask(native, site.a, before=before)
        if done.returncode == 0:
            assert done == Done(f"{MESSAGE}|{PERFDATA}\n", "", 0), number
        else:
            assert done.returncode in (3, 127), done
